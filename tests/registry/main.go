// Command registry is a real image registry for the integration tests: the
// distribution project's, on a free port of 127.0.0.1, with its files in a folder
// that the caller removes. It prints its address and ends when its input does.
//
// It is a module of its own so that docker-sd does not carry its dependencies.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"golang.org/x/crypto/bcrypt"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func run() error {
	dir := flag.String("dir", "", "folder of the registry")
	user := flag.String("user", "", "user that may pull and push, everybody if empty; the password is the variable REGISTRY_PASSWORD")
	flag.Parse()
	config := &configuration.Configuration{
		Storage: configuration.Storage{"filesystem": {"rootdirectory": *dir + "/data"}},
	}
	config.Log.AccessLog.Disabled = true
	config.HTTP.RelativeURLs = true
	config.HTTP.Secret = "only for tests"
	if *user != "" {
		path := *dir + "/htpasswd"
		hash, err := bcrypt.GenerateFromPassword([]byte(os.Getenv("REGISTRY_PASSWORD")), bcrypt.MinCost)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, fmt.Appendf(nil, "%s:%s\n", *user, hash), 0o600); err != nil {
			return err
		}
		config.Auth = configuration.Auth{"htpasswd": {"realm": "docker-sd tests", "path": path}}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handlers.NewApp(context.Background(), config)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Println(listener.Addr())
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	select {
	case err := <-served:
		return err
	case err := <-ended:
		return err
	}
}
