package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/site"
)

// newGenerate writes the configuration of a site of many hosts.
func newGenerate() *cobra.Command {
	var inventory, folder string
	cmd := &cobra.Command{
		Use: "generate", Short: "Write the configuration and manifests of many hosts from an inventory", Args: cobra.NoArgs,
		Long: "Each host of the inventory gets a folder with the configurations of docker-sd and of\n" +
			"interLink's API server, and a file of manifests for its virtual kubelet. Files that exist\n" +
			"are replaced.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := os.ReadFile(inventory)
			if err != nil {
				return fmt.Errorf("read the inventory: %w", err)
			}
			names, err := generate(data, folder)
			for _, name := range names {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), name); err != nil {
					return err
				}
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&inventory, "file", "f", "", "the inventory")
	cmd.Flags().StringVarP(&folder, "output", "o", "", "the folder to write to")
	for _, name := range []string{"file", "output"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flags above
		}
	}
	return cmd
}

// generate writes the files of an inventory and returns their paths. Nothing is
// written unless every docker-sd would start with its configuration.
func generate(inventory []byte, folder string) ([]string, error) {
	parsed, err := site.Parse(inventory)
	if err != nil {
		return nil, err
	}
	files, err := parsed.Files()
	if err != nil {
		return nil, err
	}
	if err := check(files); err != nil {
		return nil, err
	}
	var written []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return written, fmt.Errorf("write the site: %w", err)
		}
		if err := renameio.WriteFile(path, files[name], 0o640); err != nil {
			return written, fmt.Errorf("write the site: %w", err)
		}
		written = append(written, path)
	}
	return written, nil
}

// check loads every docker-sd.yaml as docker-sd would. An unknown key, which a
// file shared with interLink may have, is a mistake in an inventory.
func check(files map[string][]byte) error {
	dir, err := os.MkdirTemp("", "docker-sd-site")
	if err != nil {
		return fmt.Errorf("check the site: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "docker-sd.yaml")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Base(name) != filepath.Base(path) {
			continue
		}
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			return fmt.Errorf("check the site: %w", err)
		}
		_, warnings, err := config.Load(path, func(string) string { return "" })
		if err == nil && len(warnings) > 0 {
			err = fmt.Errorf("%s", warnings[0])
		}
		if err != nil {
			return fmt.Errorf("inventory: %s: %w", name, err)
		}
	}
	return nil
}
