package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Limits of packages in lines without tests, and of types in methods of their own: those
// that embedding promotes are another type's.
const (
	mostLinesOfPackage = 3000
	mostMethodsOfType  = 30
)

// tooLarge are packages and types above the limits, with what they may have. No number
// gets larger, and an entry that is not needed any more has to go.
var tooLarge = map[string]int{
	// For tests: one method for each route of the Docker API, and one for each figure.
	"../pkg/engine/enginetest.Engine": 92,
	"../tests/bench.daemon":           43,
}

// TestRooms: a package and a type can be kept in mind.
func TestRooms(t *testing.T) {
	lines, methods := map[string]int{}, map[string]int{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		lines[dir] += set.File(file.FileStart).LineCount()
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
				methods[dir+"."+receiver(f.Recv.List[0].Type)]++
			}
		}
		return nil
	})
	if err != nil || len(lines) == 0 {
		t.Fatalf("%d packages: %v", len(lines), err)
	}
	wantWithin(t, lines, mostLinesOfPackage, "lines")
	wantWithin(t, methods, mostMethodsOfType, "methods")
	for name := range tooLarge {
		if lines[name]+methods[name] == 0 {
			t.Errorf("%s is not there any more: take it out of tooLarge", name)
		}
	}
}

// wantWithin fails for what is above its limit, and for an exception that is larger than
// it has to be.
func wantWithin(t *testing.T, have map[string]int, most int, unit string) {
	t.Helper()
	for name, n := range have {
		exception, listed := tooLarge[name]
		switch {
		case listed && n <= most:
			t.Errorf("%s has %d %s and keeps the limit of %d: take it out of tooLarge", name, n, unit, most)
		case listed && n > exception:
			t.Errorf("%s has %d %s, it had %d: it may only get smaller", name, n, unit, exception)
		case !listed && n > most:
			t.Errorf("%s has %d %s, the limit is %d: make two of it", name, n, unit, most)
		}
	}
}

// receiver is the name of a receiver's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
