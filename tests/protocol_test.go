package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const protocolPath = "../docs/interlink-protocol.md"

// Lists of numbers end before a full stop: "protocol 1.4, 1.5" and "protocol 1 to 4."
// have two each.
const numbers = `(\d+(?:\.\d+)*(?:(?:,|\s+(?:and|or|to))\s+\d+(?:\.\d+)*)*)`

var (
	protocolHeading = regexp.MustCompile(`(?m)^#+ (\d+(?:\.\d+)*)\.? `)
	protocolSection = regexp.MustCompile(`\bprotocol(?:\.md)?,?\s+(?:sections?\s+)?` + numbers)
	ownSection      = regexp.MustCompile(`\bsections?\s+` + numbers)
	number          = regexp.MustCompile(`\d+(?:\.\d+)*`)
	formerName      = regexp.MustCompile(`(?i)\bcontracts?\b`)
)

// protocolSections are the numbers of the document's headings.
func protocolSections(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(protocolPath)
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]bool{}
	for _, match := range protocolHeading.FindAllStringSubmatch(string(text), -1) {
		if sections[match[1]] {
			t.Errorf("%s has two sections %s", protocolPath, match[1])
		}
		sections[match[1]] = true
	}
	return sections
}

// references counts the sections that a text names, and lists those that do not
// exist, each with its file and line. The text begins at a line of its file.
func references(text, path string, line int, named *regexp.Regexp, sections map[string]bool) (found int, faults []string) {
	at := func(offset int) string {
		return fmt.Sprintf("%s:%d", path, line+strings.Count(text[:offset], "\n"))
	}
	for _, match := range named.FindAllStringSubmatchIndex(text, -1) {
		for _, place := range number.FindAllStringIndex(text[match[2]:match[3]], -1) {
			found++
			if section := text[match[2]+place[0] : match[2]+place[1]]; !sections[section] {
				faults = append(faults, fmt.Sprintf("%s names section %s, which %s does not have", at(match[2]+place[0]), section, protocolPath))
			}
		}
	}
	for _, place := range formerName.FindAllStringIndex(text, -1) {
		faults = append(faults, fmt.Sprintf("%s says %q: name a section of %s", at(place[0]), text[place[0]:place[1]], protocolPath))
	}
	return found, faults
}

// inComments is references for the comments of a Go file.
func inComments(files *token.FileSet, file *ast.File, sections map[string]bool) (found int, faults []string) {
	for _, group := range file.Comments {
		var text strings.Builder
		for _, comment := range group.List {
			text.WriteString(strings.TrimPrefix(comment.Text, "//") + "\n")
		}
		begin := files.Position(group.Pos())
		n, more := references(text.String(), begin.Filename, begin.Line, protocolSection, sections)
		found, faults = found+n, append(faults, more...)
	}
	return found, faults
}

// TestProtocolSectionsExist: what the code and the documents name of the protocol is
// a section of the document.
func TestProtocolSectionsExist(t *testing.T) {
	sections := protocolSections(t)
	files, found := token.NewFileSet(), 0
	for _, folder := range []string{"../cmd", "../pkg", "."} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") {
				return err
			}
			file, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			n, faults := inComments(files, file, sections)
			found += n
			for _, fault := range faults {
				t.Error(fault)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 100 {
		t.Errorf("comments name %d sections of the protocol: are they still found?", found)
	}
	for _, p := range pages(t) {
		named := protocolSection
		if p.path == protocolPath {
			named = ownSection
		}
		n, faults := references(p.all, p.path, 1, named, sections)
		if p.path == protocolPath && n < 20 {
			t.Errorf("%s names %d of its own sections: are they still found?", p.path, n)
		}
		for _, fault := range faults {
			t.Error(fault)
		}
	}
}

// TestReferencesToTheProtocol: which words are a reference, and where a fault is said to be.
func TestReferencesToTheProtocol(t *testing.T) {
	sections := map[string]bool{"1": true, "1.4": true, "1.5": true, "2.2": true, "2.2.3": true}
	for _, c := range []struct {
		comment string
		found   int
		faults  []string
	}{
		{"// one (protocol 1.4).", 1, nil},
		{"// two (protocol 1.4, 1.5), and 7 of others.", 2, nil},
		{"// two (docs/interlink-protocol.md 2.2 and 2.2.3): so.", 2, nil},
		{"// two, docs/interlink-protocol.md 1 to 1.4.", 2, nil},
		{"// on two lines (protocol\n// 2.2.3).", 1, nil},
		{"// the sidecar protocol over HTTP, 9 routes", 0, nil},
		{"// none (protocol 3.1)", 1, []string{"x.go:3 names section 3.1"}},
		{"// the second line\n// of these is wrong (protocol\n// 1.4 and 1.6)", 2, []string{"x.go:5 names section 1.6"}},
		{"// a list (protocol 1.4, 1.9, 1.5)", 3, []string{"x.go:3 names section 1.9"}},
		{"// deeper (protocol 2.2.11)", 1, []string{"x.go:3 names section 2.2.11"}},
		{"// the former name\n// (contract 1.4)", 0, []string{`x.go:4 says "contract"`}},
	} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, "x.go", "package x\n\n"+c.comment+"\nvar a = `contract 9`\n", parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		found, faults := inComments(files, file, sections)
		if found != c.found {
			t.Errorf("%q: %d sections are named, want %d", c.comment, found, c.found)
		}
		if !slices.EqualFunc(faults, c.faults, strings.HasPrefix) {
			t.Errorf("%q: faults are %q, want %q", c.comment, faults, c.faults)
		}
	}
}

// TestProtocolSectionsAreInOrder: sections are numbered without gaps, each below its parent.
func TestProtocolSectionsAreInOrder(t *testing.T) {
	text, err := os.ReadFile(protocolPath)
	if err != nil {
		t.Fatal(err)
	}
	before := ""
	last := map[string]int{} // the last number below each section
	for _, match := range protocolHeading.FindAllStringSubmatch(string(text), -1) {
		parent := ""
		if at := strings.LastIndexByte(match[1], '.'); at > 0 {
			parent = match[1][:at+1]
		}
		if parent != "" && !strings.HasPrefix(before+".", parent) {
			t.Errorf("%s has section %s after %s", protocolPath, match[1], before)
		}
		before = match[1]
		last[parent]++
		if want := fmt.Sprintf("%s%d", parent, last[parent]); match[1] != want {
			t.Errorf("%s has a section %s in the place of %s", protocolPath, match[1], want)
		}
	}
}
