# docker-sd: `make demo` shows it at work, `make test` proves it.
# Both bring their own Docker engine where none can be reached.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.version=$(VERSION)
# go-nvml resolves the driver's functions when they are first used.
ifneq ($(CGO_ENABLED),0)
LDFLAGS += -extldflags=-Wl,-z,lazy
endif
# go-nvml binds functions that its header calls deprecated; nobody here can act on that.
export CGO_CFLAGS = -g -O2 -Wno-deprecated-declarations
LAB      = $(GO) run ./tests/lab

# Executions per decoder of `make fuzz`, and of the short form in `make test`.
FUZZ       ?= 1000000
FUZZ_SHORT ?= 2000
DECODERS = api:FuzzRoutes cdi:FuzzSpec clusternet:FuzzCommands clusternet:FuzzScript clusternet:FuzzSnippet clusternet:FuzzTemplate config:FuzzLoad engine:FuzzLogFrames gpu:FuzzAssignment keyring:FuzzOf \
	interlink:FuzzDecodeCreate interlink:FuzzDecodeDelete interlink:FuzzDecodeLogs interlink:FuzzDecodePodCreate interlink:FuzzDecodeStatus \
	podspec:FuzzFlags pods:FuzzPod pods:FuzzStatus records:FuzzRecord fusemount:FuzzOptions sandboxinit:FuzzRequest sandboxinit/mounts:FuzzSource tunnel:FuzzWish volumes:FuzzItemPath

.PHONY: all build init test unit light integration crash soak meshes attack modern kube vm vmmodern arm64 package installable fuzz fuzzshort simulate simulateshort demo run bench pictures lint clean help

all: build ## what plain make does

build: init ## bin/docker-sd; CGO_ENABLED=0 makes the light static build without GPUs
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/docker-sd ./cmd/docker-sd

# docker-sd carries the programs of its sandboxes in itself: the first process, and the
# tunnel into a cluster's network. They are static, so that they run in whatever image
# brings dockerd. The unprotected init is the attacker's tests'.
INIT = pkg/initbinary/files/docker-sd-init
TUNNEL = pkg/initbinary/tunnel/docker-sd-tunnel
init: ## the programs of sandboxes, which every build of docker-sd needs
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(TUNNEL) ./cmd/docker-sd-tunnel
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(INIT) ./cmd/docker-sd-init
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -tags unprotected -o pkg/initbinary/unprotected/docker-sd-init ./cmd/docker-sd-init

test: unit fuzzshort light simulateshort integration demo soak installable ## everything that CI runs

unit: init ## unit tests with the race detector
	$(GO) vet ./...
	$(GO) vet -tags e2e ./tests/...
	$(GO) vet -tags e2e,containerdstore ./tests/e2e/
	$(GO) vet -tags faults ./cmd/... ./pkg/fault
	$(GO) test -race ./cmd/... ./pkg/... ./tests/...

light: init ## the static build and the tests of what differs in it
	CGO_ENABLED=0 $(GO) build -o bin/docker-sd-light ./cmd/docker-sd
	ldd bin/docker-sd-light 2>&1 | grep -E 'not a dynamic executable|statically linked'
	CGO_ENABLED=0 $(GO) test ./pkg/gpu/... ./cmd/...

# docker-sd carries the programs of sandboxes for its own processor; those of this machine are
# built again afterwards.
arm64: ## the static build for 64-bit ARM, cross-compiled, and a smoke test of it in an emulator
	mkdir -p bin/arm64
	GOARCH=arm64 $(MAKE) --no-print-directory init
	CGO_ENABLED=0 GOARCH=arm64 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/arm64/docker-sd ./cmd/docker-sd
	cp $(INIT) $(TUNNEL) bin/arm64
	$(MAKE) --no-print-directory init
	$(LAB) -- $(GO) test -tags arm64build -count=1 ./tests/arm64/

simulate: init ## 20 docker-sd under 20 virtual kubelets and 1000 pods; writes docs/many-hosts.md
	mkdir -p bin
	$(GO) run ./tests/simulate -json bin/simulate.json -docs docs/many-hosts.md

simulateshort: init
	$(GO) run ./tests/simulate -short

integration: init ## the daemon against a real engine, through HTTP
	$(LAB) -- $(GO) test -tags e2e -count=1 -timeout 60m -skip '^TestSoak$$' ./tests/e2e/...

DURATION ?= 3m
soak: init ## random pods and kills for DURATION (3m), then a search for what leaked
	$(LAB) -- $(GO) test -tags e2e -count=1 -timeout 3h -v -run '^TestSoak$$' ./tests/e2e -soak $(DURATION)

MESHES ?= 50
meshes: init ## MESHES pods (50) in the network of a cluster at once, and what they leave
	$(LAB) -- $(GO) test -tags e2e -count=1 -timeout 1h -v -run '^TestManyMeshes$$' ./tests/e2e/ -meshes $(MESHES)

KUBE ?=
kube: init ## what a pod may ask for, as a table; KUBE="-random 1000" runs pods made at random
	$(LAB) -- $(GO) run ./tests/kube $(KUBE)

DURATION_ATTACK ?= 5m
attack: init ## tries to break out of pods; each race goes on for DURATION_ATTACK (5m)
	$(LAB) -- $(GO) test -tags e2e -count=1 -timeout 2h -v -run '^TestAttack|^TestTreesAreRemoved$$' ./tests/e2e/ -attack $(DURATION_ATTACK)

modern: init ## chosen tests with engine 29, built from Go modules, on the host and in sandboxes
	$(GO) run ./tests/modern

VM ?=
vm: package ## checks in a virtual machine with systemd, cgroup v2 and AppArmor, half an hour without KVM
	$(LAB) -- $(GO) run ./tests/vm $(VM)

vmmodern: package ## the same with engine 29 and the containerd image store, on the host and in sandboxes
	programs=$$($(GO) run ./tests/modern -programs) && DOCKER_SD_LAB_SANDBOX_PATH=$$programs $(LAB) -- $(GO) run ./tests/vm -engine modern $(VM)

crash: init ## SIGKILL of docker-sd at every fault point; part of integration
	$(LAB) -- $(GO) test -tags e2e -count=1 -timeout 20m -run '^TestCrash' ./tests/e2e/

# As many workers as cores and one thread for each: workers of many threads wait
# for one another, and did half as many executions.
CORES = $(shell nproc)
fuzz: ## FUZZ executions of every decoder (1000000 each)
	@set -e; for decoder in $(DECODERS); do \
		echo "$$decoder, $(FUZZ) executions"; \
		GOMAXPROCS=1 $(GO) test -p $(CORES) -parallel $(CORES) "./pkg/$${decoder%:*}" -run '^$$' -fuzz "^$${decoder#*:}\$$" -fuzztime $(FUZZ)x -fuzzminimizetime 100x; \
	done

fuzzshort:
	@$(MAKE) --no-print-directory fuzz FUZZ=$(FUZZ_SHORT)

# Package managers want a digit first and have their own meaning for a dash.
PACKAGE_VERSION = $(subst -,.,$(patsubst v%,%,$(if $(filter v%,$(VERSION)),$(VERSION),0.0.0+$(VERSION))))
package: export PACKAGE_VERSION := $(PACKAGE_VERSION)
package: export BINARY = bin/docker-sd
package: export ARCH = $(shell $(GO) env GOARCH)
package: build ## a .deb and an .rpm in bin
	rm -f bin/*.deb bin/*.rpm
	set -e; for kind in deb rpm; do $(GO) tool -modfile=docker/package/tools.mod nfpm package -f docker/package/nfpm.yaml -p $$kind -t bin/; done

installable: package ## what the packages hold, and the unit, in the eyes of systemd
	$(GO) test -tags package -count=1 ./tests/package/

demo: build ## two pods from create to delete, on a real engine
	$(LAB) -- $(GO) run ./tests/demo

run: build ## docker-sd in the foreground with config.yaml
	$(LAB) -- sh -c 'INTERLINKCONFIGPATH=config.yaml SANDBOXIMAGE=$${SANDBOXIMAGE:-$$DOCKER_SD_TEST_SANDBOX} exec bin/docker-sd'

bench: init ## figures against the plain engine, a quarter of an hour; draws docs/img/bench.svg
	mkdir -p bin
	$(LAB) -- $(GO) run ./tests/bench -big -json bin/bench.json -svg docs/img/bench.svg

pictures: build ## docs/img, on a machine that has nothing else to do
	$(LAB) -- $(GO) run ./tests/pictures

lint: init ## golangci-lint, built from its module; some minutes the first time
	$(GO) tool -modfile=.github/lint.mod golangci-lint run -c .github/golangci.yml ./...

clean: ## what the build made
	rm -rf bin

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14
