package kit

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"

	v1 "k8s.io/api/core/v1"
)

// PodCreate is the body of a create as a Virtual Kubelet sends it to interLink's API server
// (protocol 1.6). Lists are null where there is nothing to send.
type PodCreate struct {
	Pod                 *v1.Pod        `json:"pod"`
	ConfigMaps          []v1.ConfigMap `json:"configmaps"`
	Secrets             []v1.Secret    `json:"secrets"`
	ProjectedVolumeMaps []v1.ConfigMap `json:"projectedvolumesmaps"`
	JobScriptURL        string         `json:"jobscriptURL"`
}

// VirtualKubelet calls interLink's API as interLink's own does: by TLS with a new connection
// for each call.
type VirtualKubelet struct {
	// Base is https://HOST:PORT or http://HOST:PORT.
	Base string
	// TLS is that of the caller, nil without.
	TLS *tls.Config
	// Token, if there is one, goes with each call.
	Token string
}

// Send returns the answer with its body unread.
func (k VirtualKubelet) Send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, k.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range Headers("VirtualKubelet#1") {
		request.Header.Set(name, value)
	}
	if k.Token != "" {
		request.Header.Set("Authorization", "Bearer "+k.Token)
	}
	if k.TLS == nil {
		return http.DefaultClient.Do(request)
	}
	return (&http.Client{Transport: &http.Transport{TLSClientConfig: k.TLS.Clone()}}).Do(request)
}

// Call returns the code and the whole text of the answer, which comes in CallTimeout.
func (k VirtualKubelet) Call(ctx context.Context, method, path string, body []byte) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	response, err := k.Send(ctx, method, path, body)
	if err != nil {
		return 0, "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}
