package sandbox_test

import (
	"os"
	"testing"

	"github.com/containerd/containerd/log"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if err := log.SetLevel("panic"); err != nil {
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
