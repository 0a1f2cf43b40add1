package main

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/archprune/archprune/internal/registrytest"
)

// readsZstd tells whether an engine pulls zstd layers: from 23.0 on.
func readsZstd(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 23
}

// cmdFreePort puts the number of a port that nobody listens at in a variable.
func cmdFreePort(ts *testscript.TestScript, args []string) {
	_, port, err := net.SplitHostPort(registrytest.FreeAddr(arrange(ts)))
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// cmdListens waits until somebody listens at an address.
func cmdListens(ts *testscript.TestScript, args []string) {
	for deadline := time.Now().Add(waitLong); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", args[0]); err == nil {
			ts.Check(conn.Close())
			return
		}
	}
	ts.Fatalf("nobody listens at %s after %s", args[0], waitLong)
}

// cmdTLSPair writes the certificate of Go's own test servers, which is for
// 127.0.0.1, and its key: tls-pair CERT KEY.
func cmdTLSPair(ts *testscript.TestScript, args []string) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	ts.Check(err)
	for i, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, {Type: "PRIVATE KEY", Bytes: key}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(block), 0o600))
	}
}
