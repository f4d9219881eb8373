package engine

// longest is how many bytes of an engine's message are passed on. It repeats names
// and paths that pods choose; one of a deep tree had 50 KB.
const longest = 1024

// brief is an error whose text has its middle left out.
type brief struct{ error }

// Error is the beginning and the end of the text, longest bytes of it.
func (b brief) Error() string {
	text := b.error.Error()
	return text[:longest/2] + " ... " + text[len(text)-longest/2:]
}

// Unwrap gives the error with its whole text, so that its class is kept.
func (b brief) Unwrap() error { return b.error }

// shorten bounds an error's text.
func shorten(err error) error {
	if err == nil || len(err.Error()) <= longest {
		return err
	}
	return brief{err}
}
