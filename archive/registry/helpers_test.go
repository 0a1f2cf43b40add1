package registry_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"
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
