// Package e2e holds tests that drive the docker-sd binary against a real Docker
// engine through HTTP, as interLink does. They carry the build tag e2e and need
// what the lab exports:
//
//	go run ./tests/lab -- go test -tags e2e -count=1 ./tests/e2e/...
//
// Without an engine they fail.
package e2e
