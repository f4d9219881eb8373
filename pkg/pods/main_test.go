package pods_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain has more tests run than there are cores: most of them wait for something.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err) // the flag is go test's own
	}
	goleak.VerifyTestMain(m)
}
