package records

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// firstRecord is what the first file of version 1 has: a pod that has ended and is
// being deleted.
func firstRecord() *Record {
	r := fullRecord()
	r.Stage, r.Replaced, r.Began, r.Devices, r.End, r.Network = lifecycle.StageRemoving, "", Moment{}, nil, nil, false
	r.Runtime = podspec.RuntimeClass{}
	return r
}

// laterRecord is what the last file of version 1 has.
func laterRecord() *Record {
	r := firstRecord()
	r.Replaced, r.Began, r.End = fullRecord().Replaced, fullRecord().Began, fullRecord().End
	return r
}

// fullRecord has every field of today, and strings that an encoder may harm.
func fullRecord() *Record {
	const awkward = "<a href='x'>&amp; \"q\" \\ \u2028 \u00e4\n\t$(A) \x01"
	pod := plainPod()
	pod.Annotations = map[string]string{"note": awkward}
	pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "A", Value: awkward}, {Name: "EMPTY"}}
	pod.Spec.Containers[0].Resources.Limits = v1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("128Mi")}
	meta := metav1.ObjectMeta{Name: "settings"}
	return &Record{
		Pod: pod,
		Data: volumes.Data{
			ConfigMaps: map[string]v1.ConfigMap{"settings": {ObjectMeta: meta, Data: map[string]string{"k": awkward}, BinaryData: map[string][]byte{"b": {0, 255}}}},
			Secrets:    map[string]v1.Secret{"settings": {ObjectMeta: meta, Data: map[string][]byte{"p": {0, 1, 254}}}},
			Projected:  map[string]v1.ConfigMap{"settings": {ObjectMeta: meta, Data: map[string]string{"a/b": ""}}},
		},
		JID: "0d4f_dind", Stage: lifecycle.StageStopping, Sandbox: "0d4f_dind", Replaced: "1e5a_dind", Since: testTime.Time, Network: true,
		Runtime: podspec.RuntimeClass{Runtime: "crun"},
		Began:   Moment{Boot: "b5a7", Up: 90 * time.Second},
		Devices: json.RawMessage(`{"main":["GPU-1"]}`),
		Grace:   5,
		End:     endedState(137).Terminated,
		Ended:   []v1.ContainerStatus{{Name: "main", State: endedState(3), LastTerminationState: endedState(1), RestartCount: 2}},
	}
}

func openStore(t *testing.T) Store {
	t.Helper()
	s := New(filepath.Join(t.TempDir(), "data"))
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	return s
}

// loadOne loads a store that holds one good record.
func loadOne(t *testing.T, s Store) *Record {
	t.Helper()
	got, refused, problem, err := s.Load()
	if err != nil || problem != nil || len(refused) > 0 || len(got) != 1 {
		t.Fatalf("loaded %d records, refused %v, problem %v, error %v", len(got), refused, problem, err)
	}
	return got[0]
}

func wantSame(t *testing.T, want, got *Record) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	s, want := openStore(t), fullRecord()
	if err := s.Save(want); err != nil {
		t.Fatal(err)
	}
	wantSame(t, want, loadOne(t, s))
	t.Run("saved again", func(t *testing.T) {
		want.Grace, want.Ended = 7, nil
		if err := s.Save(want); err != nil {
			t.Fatal(err)
		}
		wantSame(t, want, loadOne(t, s))
	})
	t.Run("removed", func(t *testing.T) {
		for range 2 { // the second time is success as well
			if err := s.remove(want.Pod.UID); err != nil {
				t.Fatal(err)
			}
		}
		if got, _, problem, err := s.Load(); len(got) > 0 || problem != nil || err != nil {
			t.Errorf("loaded %d records, %v, %v", len(got), problem, err)
		}
	})
}

// TestRecordIsPrivate: it holds secrets.
func TestRecordIsPrivate(t *testing.T) {
	s := openStore(t)
	if err := s.Save(fullRecord()); err != nil {
		t.Fatal(err)
	}
	if err := s.AddTombstone(testUID); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		filepath.Dir(s.recordDir.Path): 0o700, s.recordDir.Path: 0o700, s.tombstoneDir.Path: 0o700,
		s.RecordPath(testUID): 0o600, s.tombstonePath(testUID): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %#o, want %#o", filepath.Base(path), got, want)
		}
	}
}

// TestRecordVersions must pass for ever: the files were written by earlier versions,
// and pods that they describe may run when docker-sd is upgraded. A field that is new
// gets another file; one that is there is never changed.
func TestRecordVersions(t *testing.T) {
	withoutNetwork, withoutRuntime := fullRecord(), fullRecord()
	withoutNetwork.Network, withoutNetwork.Runtime, withoutRuntime.Runtime = false, podspec.RuntimeClass{}, podspec.RuntimeClass{}
	for file, want := range map[string]*Record{"record-v1.json": firstRecord(), "record-v1-later.json": laterRecord(), "record-v2.json": withoutNetwork,
		"record-v2-network.json": withoutRuntime, "record-v2-runtime.json": fullRecord()} {
		got, err := readRecord(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, want, got)
	}
	all := reflect.ValueOf(*fullRecord())
	for i := range all.NumField() {
		if all.Field(i).IsZero() {
			t.Errorf("no file has a value for field %s", all.Type().Field(i).Name)
		}
	}
}

// TestUpgrade: the fields of version 1 say which stage the pod has reached.
func TestUpgrade(t *testing.T) {
	const lost, over, final, verdict = `"former":"old"`, `"over":[{"name":"o"}]`, `"final":[{"name":"f"}]`, `"verdict":{"exitCode":137}`
	for file, want := range map[string]struct {
		stage lifecycle.Stage
		ended string
	}{
		`"placed":false`:                                                              {lifecycle.StageAdmitted, ""},
		`"placed":true`:                                                               {lifecycle.StagePlaced, ""},
		`"placed":false,` + lost + `,` + over:                                         {lifecycle.StageReplacing, "o"},
		`"placed":true,` + over:                                                       {lifecycle.StagePlaced, "o"},
		`"placed":true,` + verdict:                                                    {lifecycle.StageEnding, ""},
		`"placed":true,` + verdict + `,` + over + `,` + final:                         {lifecycle.StageEnded, "f"},
		`"placed":true,` + final + `,"archived":true`:                                 {lifecycle.StageArchived, "f"},
		`"placed":false,"gone":true`:                                                  {lifecycle.StageRemoving, ""},
		`"placed":false,"gone":true,` + lost:                                          {lifecycle.StageRemoving, ""},
		`"placed":true,"gone":true`:                                                   {lifecycle.StageStopping, ""},
		`"placed":true,"gone":true,` + verdict:                                        {lifecycle.StageStopping, ""},
		`"placed":true,"gone":true,` + final:                                          {lifecycle.StageRemoving, "f"},
		`"placed":true,"gone":true,"archived":true,` + final:                          {lifecycle.StageRemoving, "f"},
		`"stage":"placed","placed":false,"gone":true,"ended":[{"name":"e"}],` + final: {lifecycle.StagePlaced, "e"},
	} {
		var f recordFile
		if err := json.Unmarshal([]byte(`{"devices":{"c":["GPU-1"]},`+file+`}`), &f); err != nil {
			t.Fatal(err)
		}
		r, ended := f.upgraded(), ""
		if len(r.Ended) > 0 {
			ended = r.Ended[0].Name
		}
		if r.Stage != want.stage || ended != want.ended || (r.Replaced != "") != strings.Contains(file, lost) ||
			(r.End != nil) != strings.Contains(file, verdict) || (r.Devices == nil) != (want.ended == "f") {
			t.Errorf("%s became %+v", file, r)
		}
	}
}

// sealed is a file as save would write it, with a content of any kind.
func sealed(version int, content string) string {
	sum := sha256.Sum256([]byte(content))
	body, err := json.Marshal(envelope{Version: version, Checksum: hex.EncodeToString(sum[:]), Record: json.RawMessage(content)})
	if err != nil {
		panic(err)
	}
	return string(body)
}

func TestRecordRefused(t *testing.T) {
	file, err := os.ReadFile("testdata/record-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	good := string(file)
	for name, c := range map[string]struct{ file, want string }{
		"newer version":        {sealed(3, `{"pod":null}`), "written by a newer docker-sd (version 3, this one reads up to 2): upgrade again, or delete the pod"},
		"one byte changed":     {strings.Replace(good, `"grace":5`, `"grace":6`, 1), "damaged: its checksum does not match"},
		"checksum changed":     {strings.Replace(good, `"checksum":"`, `"checksum":"0`, 1), "damaged: its checksum does not match"},
		"no checksum":          {`{"version":1,"record":{}}`, "damaged: its checksum does not match"},
		"cut":                  {good[:len(good)/2], "not a record: unexpected end of JSON input"},
		"empty":                {"", "not a record: unexpected end of JSON input"},
		"zeros":                {strings.Repeat("\x00", 512), `not a record: invalid character '\x00' looking for beginning of value`},
		"no pod":               {sealed(1, `{}`), "damaged: it names no pod"},
		"pod without a name":   {sealed(1, `{"pod":{"metadata":{"uid":"`+testUID+`"}}}`), "damaged: it names no pod"},
		"UID that leaves":      {sealed(1, `{"pod":{"metadata":{"uid":"../../x","name":"a","namespace":"b"}}}`), "damaged: it names no pod"},
		"another kind of JSON": {sealed(1, `[]`), "not a record: json: cannot unmarshal array into Go value of type records.recordFile"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			other := fullRecord()
			other.Pod.UID = "11111111-2222-4333-8444-555555555555"
			if err := s.Save(other); err != nil {
				t.Fatal(err)
			}
			path := s.RecordPath(testUID)
			if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, refused, problem, err := s.Load()
			if err != nil || len(got) != 1 || got[0].Pod.UID != other.Pod.UID {
				t.Fatalf("the other pod's record was not loaded: %d records, %v", len(got), err)
			}
			if want := "record " + path + ": " + c.want; sentence(problem) != want {
				t.Errorf("\n got %v\nwant %s", problem, want)
			}
			if len(refused) != 1 || refused[testUID] == nil || refused[testUID].Pod.UID != testUID {
				t.Errorf("refused %v", refused)
			}
			if left, err := os.ReadFile(path); err != nil || string(left) != c.file {
				t.Errorf("the file was not left as it was: %v", err)
			}
		})
	}
}

// TestRecordUnderAnotherName: a copy must not become a second pod.
func TestRecordUnderAnotherName(t *testing.T) {
	s := openStore(t)
	if err := s.Save(fullRecord()); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(s.RecordPath(testUID), filepath.Join(s.recordDir.Path, "copy.json")); err != nil {
		t.Fatal(err)
	}
	got, _, problem, err := s.Load()
	if err != nil || len(got) != 1 || problem == nil {
		t.Errorf("loaded %d records, problem %v, error %v; want 1 and a problem", len(got), problem, err)
	}
}

// TestRecordCutShort: what a crash left of a write is not taken for a record.
func TestRecordCutShort(t *testing.T) {
	s := openStore(t)
	if err := s.Save(fullRecord()); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(s.recordDir.Path, "."+testUID+".json123456")
	if err := os.WriteFile(left, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantSame(t, fullRecord(), loadOne(t, s))
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}

// TestRecordLeavesTMPDIRAlone: what a crash leaves of a write holds secrets, and
// nobody would look for it there.
func TestRecordLeavesTMPDIRAlone(t *testing.T) {
	s, dir, old := openStore(t), t.TempDir(), time.Unix(1, 0)
	t.Setenv("TMPDIR", dir)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(fullRecord()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("a file was made there at %v, %v", info.ModTime(), err)
	}
}

func TestRecordsThatCannotBeListed(t *testing.T) {
	if _, _, _, err := New(t.TempDir()).Load(); err == nil || !strings.HasPrefix(err.Error(), "read the records: ") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkSave(b *testing.B) {
	s := New(filepath.Join(b.TempDir(), "data"))
	if err := s.Open(); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		r := fullRecord()
		r.Pod.UID = types.UID(filepath.Base(b.TempDir()))
		for pb.Next() {
			if err := s.Save(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
