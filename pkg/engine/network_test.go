package engine

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// TestJoin: a container is connected once, whatever an earlier try has done, and
// leaves the network that stands for none before that.
func TestJoin(t *testing.T) {
	const inspect, leave, join = "GET /containers/c/json", "POST /networks/none/disconnect", "POST /networks/net/connect"
	for name, c := range map[string]struct {
		networks      string
		left, joined  int
		want          []string
		wantErr       bool
		inspectAnswer int
	}{
		"without a network":           {networks: `{"none":{}}`, want: []string{inspect, leave, join}},
		"between two":                 {networks: `{}`, want: []string{inspect, join}},
		"joined":                      {networks: `{"net":{"IPAddress":"10.0.0.2"}}`, want: []string{inspect}},
		"it cannot leave":             {networks: `{"none":{}}`, left: 500, want: []string{inspect, leave}, wantErr: true},
		"it cannot join":              {networks: `{"none":{}}`, joined: 404, want: []string{inspect, leave, join}, wantErr: true},
		"it is gone":                  {inspectAnswer: 404, want: []string{inspect}, wantErr: true},
		"in another network, as well": {networks: `{"other":{}}`, want: []string{inspect, join}},
	} {
		t.Run(name, func(t *testing.T) {
			code := func(code int) int {
				if code == 0 {
					return 200
				}
				return code
			}
			client, fake := serve(t, map[string]http.HandlerFunc{
				inspect: says(code(c.inspectAnswer), fmt.Sprintf(`{"Id":"c","message":"m","NetworkSettings":{"Networks":%s}}`, orNull(c.networks))),
				leave:   says(code(c.left), `{"message":"m"}`),
				join:    says(code(c.joined), `{"message":"m"}`),
			})
			if err := client.Join(t.Context(), "net", "c"); (err != nil) != c.wantErr {
				t.Errorf("Join() = %v", err)
			}
			if got := fake.calls(); !slices.Equal(got, c.want) {
				t.Errorf("calls %v, want %v", got, c.want)
			}
		})
	}
}

func orNull(text string) string {
	if text == "" {
		return "null"
	}
	return text
}
