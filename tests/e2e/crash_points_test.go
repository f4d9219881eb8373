//go:build e2e

package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// crashes has every fault point at least once.
var crashes = []crash{
	{at: "pods.create.asked", life: podEnds},
	{at: "pods.create.equipped", life: podEnds, gpus: 1},
	{at: "pods.create.claimed", life: podEnds},
	{at: "pods.create.claimed", life: podEnds, pool: 1},
	{at: "pods.record.pending", life: podEnds},
	{at: "pods.record.pending#2", life: podEnds},
	{at: "pods.record.pending#3", life: podIsDeleted},
	{at: "pods.create.recorded", life: podEnds},
	{at: "pods.create.recorded", life: podEnds, pool: 1},
	{at: "pods.create.recorded", life: podIsDeleted, gpus: 1},
	{at: "pods.create.started", life: podEnds},
	{at: "pods.images.fetched", life: podEnds},
	{at: "sandbox.boot.folder", life: podEnds},
	{at: "sandbox.boot.network", life: podEnds},
	{at: "sandbox.boot.created", life: podEnds},
	{at: "sandbox.boot.started", life: podEnds},
	{at: "sandbox.boot.joined", life: podEnds},
	{at: "sandbox.boot.ready", life: podEnds},
	{at: "pods.place.found", life: podEnds},
	{at: "pods.place.recorded", life: podEnds},
	{at: "pods.place.recorded", life: podIsDeleted},
	{at: "pods.place.named", life: podEnds, pool: 1},
	{at: "pods.swap.recorded", life: imageArrives, pool: 1},
	{at: "pods.swap.returned", life: imageArrives, pool: 1},
	{at: "pods.volumes.written", life: podEnds},
	{at: "pods.volumes.named", life: podEnds},
	{at: "pods.volumes.mounted", life: podEnds},
	{at: "pods.volumes.managed", life: podEnds},
	{at: "pods.network.asked", life: podJoins},
	{at: "pods.network.joined", life: podJoins},
	{at: "sandbox.fit.updated", life: podIsDeleted}, // a pod that ends at once may end before
	{at: "pods.pause.created", life: podIsDeleted},
	{at: "images.pulled", life: imageIsPulled},
	{at: "images.hold.made", life: podEnds},
	{at: "images.copied", life: podEnds, sharing: "copy"},
	{at: "pods.image.held", life: podEnds},
	{at: "pods.image.held", life: podEnds, sharing: "copy"},
	{at: "pods.image.mounted", life: podEnds},
	{at: "pods.container.ready", life: podEnds},
	{at: "pods.container.created", life: podEnds},
	{at: "pods.container.started", life: podEnds},
	{at: "pods.container.ended", life: podEnds},
	{at: "pods.init.ended", life: podEnds},
	{at: "pods.container.created#2", life: podEnds},
	{at: "pods.container.created#2", life: engineDiesToo},
	{at: "pods.container.started#2", life: podEnds},
	{at: "pods.container.ended#2", life: podEnds},
	{at: "pods.container.hooked", life: podIsDeleted},
	{at: "pods.restart.forgotten", life: podRestarts},
	{at: "pods.restart.renamed", life: podRestarts},
	{at: "pods.restart.renamed", life: podRestartsWhole},
	{at: "pods.restart.forgotten#2", life: podRestartsWhole},
	{at: "pods.restart.renamed#2", life: podRestartsWhole},
	{at: "pods.restart.renamed#3", life: podRestartsWhole},
	{at: "pods.usage.settled", life: podEnds, gpus: 1},
	{at: "pods.usage.settled", life: podIsDeleted},
	{at: "pods.outcome.recorded", life: podEnds, gpus: 1},
	{at: "pods.outcome.released", life: podEnds},
	{at: "pods.verdict.recorded", life: podIsOverdue},
	{at: "pods.stop.stopped", life: podIsOverdue},
	{at: "pods.overdue.recorded", life: podWaitsTooLong},
	{at: "pods.overdue.returned", life: podWaitsTooLong},
	{at: "pods.archive.pending", life: podEnds},
	{at: "pods.archive.written", life: podEnds},
	{at: "pods.archive.recorded", life: podEnds},
	{at: "images.hold.removed", life: podEnds},
	{at: "sandbox.remove.container", life: podEnds},
	{at: "sandbox.remove.network", life: podEnds},
	{at: "pods.delete.asked", life: podIsDeleted},
	{at: "pods.delete.recorded", life: podIsDeleted},
	{at: "pods.delete.buried", life: podIsDeleted},
	{at: "pods.stop.hooked", life: podIsDeleted},
	{at: "pods.stop.stopped", life: podIsDeleted},
	{at: "sandbox.remove.container", life: podIsDeleted},
	{at: "sandbox.remove.folder", life: podIsDeleted},
	{at: "pods.delete.destroyed", life: podIsDeleted},
	{at: "pods.delete.unlinked", life: podIsDeleted},
	{at: "pods.delete.unarchived", life: podIsDeleted},
	{at: "pods.delete.reclaimed", life: podIsDeleted},
	{at: "pods.delete.erased", life: podIsDeleted, gpus: 1},
	{at: "pods.delete.released", life: podIsDeleted, gpus: 1},
	{at: "pods.regain.destroyed", life: sandboxIsLost},
	{at: "pods.regain.recorded", life: sandboxIsLost},
	{at: "sandbox.boot.network", life: poolFills, pool: 1},
	{at: "sandbox.boot.created", life: poolFills, pool: 1},
	{at: "sandbox.boot.started", life: poolFills, pool: 1},
	{at: "sandbox.boot.joined", life: poolFills, pool: 1},
	{at: "sandbox.boot.started", life: poolFills, standby: 1},
	{at: "sandbox.boot.joined", life: poolFills, standby: 1},
	{at: "pool.refill.booted", life: poolFills, pool: 1},
	{at: "sandbox.prime.created", life: poolFills, pool: 1},
	{at: "pool.standby.made", life: poolFills, standby: 1},
	{at: "sandbox.standby.woken", life: podEnds, standby: 1},
	{at: "sandbox.standby.renamed", life: podEnds, standby: 1},
	{at: "sandbox.boot.network", life: poolFills, holders: 1},
	{at: "sandbox.holder.created", life: poolFills, holders: 1},
	{at: "pool.holder.made", life: poolFills, holders: 1},
	{at: "sandbox.boot.created", life: podEnds, holders: 1},
	{at: "sandbox.boot.started", life: podEnds, holders: 1},
	{at: "sandbox.boot.ready", life: podEnds, holders: 1},
	{at: "pods.place.recorded", life: podEnds, holders: 1},
	{at: "sandbox.remove.sandbox", life: podEnds, holders: 1},
	{at: "sandbox.remove.sandbox", life: podIsDeleted, holders: 1},
	{at: "sandbox.remove.container", life: podEnds, holders: 1},
	// A crash while the crash before is being mended.
	{at: "pool.claim.cleared", first: "sandbox.boot.network", life: podEnds},
	{at: "sandbox.adopt.started", first: "pods.container.started", life: podEnds},
	{at: "sandbox.adopt.held", first: "pods.container.started", life: networkIsLost, holders: 1},
	{at: "pods.place.adopted", first: "pods.container.started", life: podEnds},
	{at: "pool.restore.removed", first: "sandbox.boot.created", life: poolFills, pool: 1},
}

// containerdCrashes are those where the engine has containerd's image store.
var containerdCrashes = []crash{
	{at: "snapshots.described#3", life: podEnds},
	{at: "snapshots.held", life: podEnds},
	{at: "snapshots.released", life: podEnds},
}

// TestCrashesCoverEveryPoint reads the points from the sources.
func TestCrashesCoverEveryPoint(t *testing.T) {
	t.Parallel()
	points := faultPoints(t)
	if len(points) < 25 {
		t.Errorf("%d fault points", len(points))
	}
	var covered []string
	for _, c := range slices.Concat(crashes, containerdCrashes) {
		for _, at := range []string{c.at, c.first} {
			if name, _, _ := strings.Cut(at, "#"); name != "" {
				covered = append(covered, name)
				if points[name] == 0 {
					t.Errorf("there is no fault point %s", name)
				}
			}
		}
	}
	for name, n := range points {
		if n > 1 {
			t.Errorf("%d fault points are called %s", n, name)
		}
		if !slices.Contains(covered, name) {
			t.Errorf("no test dies at %s", name)
		}
	}
}

// faultPoints counts the calls of fault.Point in the sources by their argument.
func faultPoints(t *testing.T) map[string]int {
	t.Helper()
	points := map[string]int{}
	err := filepath.WalkDir("../../pkg", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, isCall := node.(*ast.CallExpr)
			if !isCall || len(call.Args) != 1 {
				return true
			}
			if function, isField := call.Fun.(*ast.SelectorExpr); isField && function.Sel.Name == "Point" {
				if name, isText := call.Args[0].(*ast.BasicLit); isText {
					if text, err := strconv.Unquote(name.Value); err == nil {
						points[text]++
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return points
}
