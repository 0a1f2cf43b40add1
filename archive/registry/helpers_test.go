package registry_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/engine"
)

// trusting is a transport that trusts a CA, where one is named.
func trusting(t testing.TB, ca string) http.RoundTripper {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	if ca == "" {
		return transport
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", ca)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	return transport
}

func newReader(data []byte) io.Reader { return bytes.NewReader(data) }

func images(all ...archivetest.ClassicImage) []engine.Image {
	var list []engine.Image
	for _, img := range all {
		list = append(list, img.Image)
	}
	return list
}
