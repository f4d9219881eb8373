package images

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/distribution/reference"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Verification says which images of the host a pod may only use with credentials of
// its own: imagePullCredentialsVerificationPolicy of kubelet.
type Verification string

// The policies. An image that came with a pod's credentials is verified by all but
// NeverVerify.
const (
	NeverVerify Verification = "NeverVerify"
	// NeverVerifyPreloaded verifies no image that docker-sd has not pulled.
	NeverVerifyPreloaded Verification = "NeverVerifyPreloadedImages"
	AlwaysVerify         Verification = "AlwaysVerify"
)

// access lists the pods that may use an image which docker-sd pulled, or asked its registry
// about.
type access struct {
	// Public images were had without credentials, or with docker-sd's own.
	Public bool `json:"public,omitempty"`
	// Credentials are digests of those that the registry gave the image for, the
	// newest last.
	Credentials []string `json:"credentials,omitempty"`
	// Gone is the time since which the host has not had the image; nil means that it has it.
	Gone *time.Time `json:"gone,omitempty"`
}

// intent is a pull with a pod's credentials that has begun.
type intent struct {
	Repository string `json:"repository"`
	// Before are the ids of the images that the host had.
	Before []string `json:"before"`
}

// accesses is a file of the access to images, by their ids on the host. It holds no secret:
// the digests in it are salted, and cannot be used for anything else.
type accesses struct {
	path   string
	saving sync.Mutex
	// salt of the digests, which never changes.
	salt []byte

	mu   sync.Mutex
	data accessData
}

// accessData is what the file holds.
type accessData struct {
	Salt   []byte            `json:"salt"`
	Images map[string]access `json:"images"`
	// Pulling are pulls whose end is not recorded, by reference
	// and digest of the credentials.
	Pulling map[string]intent `json:"pulling,omitempty"`
	// Unknown is kept from a start at which the file could not be read.
	Unknown bool `json:"unknown,omitempty"`
}

// openAccesses reads the file; "" keeps the record in memory only.
func openAccesses(path string) (*accesses, error) {
	a := &accesses{path: path}
	var err error
	if path != "" {
		err = a.read()
	}
	if len(a.data.Salt) == 0 {
		a.data.Salt = make([]byte, 32)
		rand.Read(a.data.Salt)
	}
	a.salt = a.data.Salt
	if a.data.Images == nil {
		a.data.Images = map[string]access{}
	}
	if a.data.Pulling == nil {
		a.data.Pulling = map[string]intent{}
	}
	return a, err
}

// read fills the record from its file; a file that is not there is an empty record. From one
// that cannot be read on, every image is verified (Unknown).
func (a *accesses) read() error {
	err := loadFile(a.path, &a.data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(a.data.Salt) == 0 {
		err = errHoldsNothing
	}
	if err != nil {
		a.data = accessData{Unknown: true}
		return fmt.Errorf("read who may use which image: every image is verified with its registry from now on; to trust those of this host remove %s while docker-sd does not run: %w", a.path, err)
	}
	return nil
}

// digest of credentials, in which nothing of them can be read.
func (a *accesses) digest(auth engine.Credentials) string {
	sum := hmac.New(sha256.New, a.salt)
	text, err := json.Marshal(auth)
	if err != nil {
		panic(err) // a plain struct of strings
	}
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil))
}

// edit changes the record if that can be saved.
func (a *accesses) edit(change func(*accessData)) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	a.mu.Lock()
	data := a.data
	a.mu.Unlock()
	data.Images, data.Pulling = maps.Clone(data.Images), maps.Clone(data.Pulling)
	change(&data)
	if err := saveFile(a.path, data); err != nil {
		return fmt.Errorf("write who may use which image: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data = data
	return nil
}

// maxCredentials of one image, as in kubelet.
const maxCredentials = 100

// allow notes that a registry has given an image for credentials, or to all.
func (a *accesses) allow(id string, g grant) error {
	a.mu.Lock()
	had := a.data.Images[id]
	a.mu.Unlock()
	digest := ""
	if g.pod {
		digest = a.digest(g.auth)
	}
	if had.Public || digest != "" && slices.Contains(had.Credentials, digest) {
		return nil
	}
	return a.edit(func(data *accessData) {
		entry := data.Images[id]
		entry.Gone = nil
		if entry.Public = digest == ""; entry.Public {
			entry.Credentials = nil
		} else {
			entry.Credentials = append(slices.Clone(entry.Credentials), digest)
			entry.Credentials = entry.Credentials[max(len(entry.Credentials)-maxCredentials, 0):]
		}
		data.Images[id] = entry
	})
}

// pullOf names a pull with a pod's credentials.
func (a *accesses) pullOf(named reference.Named, auth engine.Credentials) string {
	return named.String() + " " + a.digest(auth)
}

// begin notes a pull with a pod's credentials.
func (a *accesses) begin(named reference.Named, auth engine.Credentials, before []string) error {
	pull := a.pullOf(named, auth)
	return a.edit(func(data *accessData) {
		if entry, again := data.Pulling[pull]; again { // cut off: what came with it is not from before
			before = slices.DeleteFunc(slices.Clone(before), func(id string) bool { return !slices.Contains(entry.Before, id) })
		}
		data.Pulling[pull] = intent{Repository: named.Name(), Before: before}
	})
}

// failed forgets that a pull began which has brought nothing. An engine can break off a
// pull after the image has come: what may have come with it stays bound. present are the
// images that the host has now.
func (a *accesses) failed(named reference.Named, auth engine.Credentials, present []engine.Image) error {
	a.mu.Lock()
	pull, images := a.data.Pulling[a.pullOf(named, auth)], a.data.Images
	a.mu.Unlock()
	if slices.ContainsFunc(present, func(image engine.Image) bool {
		_, recorded := images[image.ID]
		return !recorded && pull.mayBring(image)
	}) {
		return nil
	}
	return a.end(named, auth)
}

// end forgets that a pull began: what came is recorded, or nothing came.
func (a *accesses) end(named reference.Named, auth engine.Credentials) error {
	pull := a.pullOf(named, auth)
	return a.edit(func(data *accessData) { delete(data.Pulling, pull) })
}

// standing of an image with a policy.
type standing int

const (
	// free is for every pod.
	free standing = iota
	// bound is for pods whose credentials are on record.
	bound
)

// standing says whom an image is for.
func (a *accesses) standing(image engine.Image, policy Verification) standing {
	a.mu.Lock()
	defer a.mu.Unlock()
	entry, known := a.data.Images[image.ID]
	switch {
	case policy == NeverVerify || known && entry.Public:
		return free
	case known || policy == AlwaysVerify || a.data.Unknown || a.cameHalf(image):
		return bound
	}
	return free
}

// cameHalf says whether an image may have come with a pull whose end was not
// recorded.
func (a *accesses) cameHalf(image engine.Image) bool {
	for _, pull := range a.data.Pulling {
		if pull.mayBring(image) {
			return true
		}
	}
	return false
}

// mayBring says whether an image can have come with a pull: it has a name of the pull's
// repository, and was not there before.
func (i intent) mayBring(image engine.Image) bool {
	if slices.Contains(i.Before, image.ID) {
		return false
	}
	return slices.ContainsFunc(slices.Concat(image.Tags, image.Digests), func(name string) bool {
		named, err := reference.ParseNormalizedNamed(name)
		return err == nil && named.Name() == i.Repository
	})
}

// has says whether credentials are on record for an image.
func (a *accesses) has(id string, auth engine.Credentials) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.data.Images[id].Credentials, a.digest(auth))
}

// goneFor is how long the record of an image stays that the host does not have:
// sandboxes may still have its layers.
const goneFor = 30 * 24 * time.Hour

// compare the record with the images of the host.
func (a *accesses) compare(present []engine.Image, now time.Time) error {
	a.mu.Lock()
	recorded := len(a.data.Images)
	a.mu.Unlock()
	if recorded == 0 {
		return nil
	}
	return a.edit(func(data *accessData) {
		for id, entry := range data.Images {
			there := slices.ContainsFunc(present, func(i engine.Image) bool { return i.ID == id })
			switch {
			case there:
				entry.Gone = nil
			case entry.Gone == nil:
				entry.Gone = &now
			case now.Sub(*entry.Gone) > goneFor:
				delete(data.Images, id)
				continue
			}
			data.Images[id] = entry
		}
	})
}
