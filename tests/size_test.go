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

// Limits of files and functions in lines. A function has the lines of its body without
// those of tables, which are data.
const (
	mostLinesOfFile     = 400
	mostLinesOfFunction = 60
)

// tooLong are files and functions above the limits. The list only gets shorter: tests of
// the engine that are a story from beginning to end, and tests of packages that are being
// rewritten.
var tooLong = map[string]bool{
	"TestHooksAreDiscreet": true, "TestDataFolderFails": true, "TestFirewallLives": true,
	"TestImageCredentials": true, "TestSandboxHasItsPodsBounds": true,
	"TestWebPagesReachNoPod": true,
	"FuzzPod":                true,
}

// TestSizes: files and functions can be read at a glance.
func TestSizes(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go":
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if lines := set.File(file.FileStart).LineCount(); lines > mostLinesOfFile && !tooLong[path] {
			t.Errorf("%s has %d lines, the limit is %d: make two of it", path, lines, mostLinesOfFile)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && linesOf(set, f.Body) > mostLinesOfFunction && !tooLong[f.Name.Name] {
				t.Errorf("%s: %s has %d lines, the limit is %d: make two of it", path, f.Name.Name, linesOf(set, f.Body), mostLinesOfFunction)
			}
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files: %v", files, err)
	}
}

// linesOf are the lines between the braces of a body, without those between the braces of
// its outermost literals of slices and maps.
func linesOf(set *token.FileSet, body *ast.BlockStmt) int {
	line := func(at token.Pos) int { return set.Position(at).Line }
	within := func(open, end token.Pos) int { return max(line(end)-line(open)-1, 0) }
	lines := within(body.Lbrace, body.Rbrace)
	ast.Inspect(body, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch literal.Type.(type) {
		case *ast.ArrayType, *ast.MapType:
			lines -= within(literal.Lbrace, literal.Rbrace)
			return false
		}
		return true
	})
	return lines
}

// TestLinesOf: tables are data, all else counts.
func TestLinesOf(t *testing.T) {
	for body, want := range map[string]int{
		"{}":                       0,
		"{\n}":                     0,
		"{\na()\n}":                1,
		"{\na := []int{\n1,\n}\n}": 2,
		"{\nfor range map[string]int{\n\"a\": 1,\n\"b\": 2,\n} {\nb()\n}\n}": 4,
		"{\na := []func(){\nfunc() {\nb := []int{\n1,\n}\n},\n}\n}":          2,
		"{\na := thing{\nb: 1,\n}\n}":                                        3,
	} {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "x.go", "package x\nfunc f() "+body, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := linesOf(set, file.Decls[0].(*ast.FuncDecl).Body); got != want {
			t.Errorf("%s has %d lines, want %d", strings.ReplaceAll(body, "\n", " "), got, want)
		}
	}
}
