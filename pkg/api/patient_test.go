package api

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestUnreadAnswer: a caller that stops reading holds nothing for longer than a
// write may take; one that reads slowly is served.
func TestUnreadAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		conn := patientConn{ours}
		began := time.Now()
		if _, err := conn.Write([]byte("nobody reads this")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write() = %v", err)
		}
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("it took %s, want %s", took, writeTimeout)
		}
		go func() {
			for range 3 {
				<-time.After(writeTimeout - time.Second)
				if _, err := theirs.Read(make([]byte, 1)); err != nil {
					t.Error(err)
				}
			}
		}()
		for range 3 {
			if _, err := conn.Write([]byte("a")); err != nil {
				t.Errorf("Write() to one that reads slowly: %v", err)
			}
		}
	})
}
