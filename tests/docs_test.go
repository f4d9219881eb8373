package tests

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// documents are what people read first, relative to the repository.
var documents = []string{"README.md", ".github/*.md", "docs/*.md"}

// page is a document and its text without blocks of code.
type page struct{ path, all, prose string }

func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	for _, pattern := range documents {
		paths, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no document is %s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, page{path, string(text), withoutCode(string(text))})
		}
	}
	return out
}

func withoutCode(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "    ") {
			out.WriteString(line)
		}
	}
	return out.String()
}

var (
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	testLiteral  = regexp.MustCompile(`"([^"\n]+)"`)
	testInText   = regexp.MustCompile("`(Test\\w+)(?:/(\\w+))?`")
	link         = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading      = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	anchor       = regexp.MustCompile(`<a id="([^"]+)"></a>`)
	notInAnchor  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	makeCommand  = regexp.MustCompile("(?m)(?:^ {4}|`)(?:[A-Z_]+=\\S+ )*make ([a-z]+)")
	makeTarget   = regexp.MustCompile(`(?m)^([a-z]+):`)
	program      = regexp.MustCompile("(?m)(?:^ {4}|`)(?:\\./bin/)?docker-sd ([a-z]+)")
	subcommand   = regexp.MustCompile(`(?i)use:\s+"([a-z]+)`)
)

// sources are the names that one expression finds in the Go files of some
// folders, by file.
func sources(t *testing.T, expression *regexp.Regexp, suffix string, folders ...string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, suffix) {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range expression.FindAllStringSubmatch(string(text), -1) {
				found[path] = append(found[path], match[1])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func flat(found map[string][]string) map[string]bool {
	out := map[string]bool{}
	for _, names := range found {
		for _, name := range names {
			out[name] = true
		}
	}
	return out
}

// TestNamedTestsExist: what a document says that a test shows, a test shows.
func TestNamedTestsExist(t *testing.T) {
	folders := []string{"../cmd", "../pkg", "."}
	functions := sources(t, testFunction, "_test.go", folders...)
	literals := sources(t, testLiteral, "_test.go", folders...)
	// in are the folders of a test: its cases may be named in another file there.
	in := map[string]map[string]bool{}
	for path, names := range functions {
		for _, name := range names {
			if in[name] == nil {
				in[name] = map[string]bool{}
			}
			in[name][filepath.Dir(path)] = true
		}
	}
	named := 0
	for _, p := range pages(t) {
		for _, match := range testInText.FindAllStringSubmatch(p.all, -1) {
			named++
			if in[match[1]] == nil {
				t.Errorf("%s names %s, which is no test", p.path, match[1])
				continue
			}
			if match[2] == "" {
				continue
			}
			cases := map[string]bool{}
			for path, names := range literals {
				for _, name := range names {
					if in[match[1]][filepath.Dir(path)] {
						cases[strings.ReplaceAll(name, " ", "_")] = true
					}
				}
			}
			if !cases[match[2]] {
				t.Errorf("%s names %s/%s, and that test has no such case", p.path, match[1], match[2])
			}
		}
	}
	if named < 50 {
		t.Errorf("%d tests are named in all documents: are they still found?", named)
	}
}

// readmeLines keeps the README short enough to be read.
const readmeLines = 120

func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > readmeLines {
		t.Errorf("the README has %d lines, more than %d: move some to docs", n, readmeLines)
	}
}

// TestReadmeConnectsInterLink: with the configuration that the README gives to interLink's
// API server, the server calls the address at which docker-sd listens by default.
func TestReadmeConnectsInterLink(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n\n    InterlinkAddress:")
	block, _, ended := strings.Cut(block, "\n\n")
	if !found || !ended {
		t.Fatal("the README has no configuration of interLink's API server")
	}
	path := filepath.Join(t.TempDir(), "InterLinkConfig.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll("\n    InterlinkAddress:"+block, "\n    ", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	shared, _, err := config.Load(path, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	network, address := config.Default().Listen()
	if n, a := shared.Listen(); n != network || a != address {
		t.Errorf("the README has interLink call %s %s, docker-sd listens on %s %s", n, a, network, address)
	}
}

// TestComparison: each row of the comparison with the plugin of 2024 names the test
// that shows it.
func TestComparison(t *testing.T) {
	text, err := os.ReadFile("../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n| plugin of 2024 | docker-sd | shown by |\n")
	if !found {
		t.Fatal("docs/migration.md has no table that compares docker-sd with the plugin of 2024")
	}
	rows := 0
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if strings.HasPrefix(line, "|-") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || !testInText.MatchString(cells[2]) {
			t.Errorf("no test shows %s", line)
		}
	}
	if rows < 10 {
		t.Errorf("%d rows compare docker-sd with the plugin of 2024", rows)
	}
}

// anchors of a document, as GitHub makes them of headings that differ, and those in it.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		name := notInAnchor.ReplaceAllString(strings.ToLower(match[1]), "")
		out[strings.ReplaceAll(strings.TrimSpace(name), " ", "-")] = true
	}
	for _, match := range anchor.FindAllStringSubmatch(text, -1) {
		out[match[1]] = true
	}
	return out
}

func TestLinksLeadSomewhere(t *testing.T) {
	for _, p := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(p.prose, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			file, place, _ := strings.Cut(match[1], "#")
			target := p.path
			if file != "" {
				target = filepath.Join(filepath.Dir(p.path), file)
			}
			text, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr != nil || err != nil && !info.IsDir() {
				t.Errorf("%s links to %s, which is not there", p.path, match[1])
			} else if place != "" && !anchors(withoutCode(string(text)))[place] {
				t.Errorf("%s links to %s, which has no such heading", p.path, match[1])
			}
		}
	}
}

// TestEveryDocumentIsInTheIndex: the README leads to all of docs.
func TestEveryDocumentIsInTheIndex(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages(t) {
		if path, _ := filepath.Rel("..", p.path); path != "README.md" && !strings.Contains(string(text), "]("+path+")") {
			t.Errorf("the README does not lead to %s", path)
		}
	}
}

// TestArchitectureHasEveryPackage: the table of packages is whole.
func TestArchitectureHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range arrows {
		if !strings.Contains(string(text), "`pkg/"+name+"`") {
			t.Errorf("docs/architecture.md does not have package pkg/%s", name)
		}
	}
}

// TestNamedCommandsExist: targets of make and subcommands of docker-sd.
func TestNamedCommandsExist(t *testing.T) {
	text, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, match := range makeTarget.FindAllStringSubmatch(string(text), -1) {
		targets[match[1]] = true
	}
	commands := flat(sources(t, subcommand, ".go", "../cmd/docker-sd", "../pkg/cli", "../pkg/doctor"))
	commands["completion"], commands["help"] = true, true // the library's
	for _, p := range pages(t) {
		for _, match := range makeCommand.FindAllStringSubmatch(p.all, -1) {
			if !targets[match[1]] {
				t.Errorf("%s says make %s, which the Makefile does not have", p.path, match[1])
			}
		}
		for _, match := range program.FindAllStringSubmatch(p.all, -1) {
			if !commands[match[1]] {
				t.Errorf("%s says docker-sd %s, which is none of %v", p.path, match[1], slices.Sorted(maps.Keys(commands)))
			}
		}
	}
}
