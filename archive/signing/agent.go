package signing

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentPatience is how long an agent may take, which may be asking a person to
// touch a token.
const agentPatience = time.Minute

// newAgentSigner signs with the private half that an agent has of the public
// key in a file.
func newAgentSigner(path, socket string) (*Signer, error) {
	keys, err := readTrusted(path)
	if err != nil {
		return nil, err
	}
	if len(keys) > 1 {
		return nil, fmt.Errorf("%s: there are %d keys: give one to sign with", path, len(keys))
	}
	if socket == "" {
		return nil, fmt.Errorf("%s: this is a public key, and no ssh-agent runs that could have the private one (SSH_AUTH_SOCK is not set): give the private key file, or start ssh-agent", path)
	}
	public := keys[0].public
	s := &Signer{public: public, sign: func(data []byte) (signature *sshsig.Signature, err error) {
		err = withAgent(socket, public, func(key ssh.Signer) error {
			signature, err = signWith(key, data)
			return err
		})
		return signature, err
	}}
	if err := withAgent(socket, public, func(ssh.Signer) error { return nil }); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// withAgent connects anew for each use: a run may be longer than an agent
// keeps a connection.
func withAgent(socket string, public ssh.PublicKey, use func(ssh.Signer) error) error {
	conn, err := net.DialTimeout("unix", socket, agentPatience)
	if err != nil {
		return fmt.Errorf("asking ssh-agent: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(agentPatience)); err != nil {
		return err
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return fmt.Errorf("asking ssh-agent: %w", err)
	}
	for _, s := range signers {
		if sameKey(s.PublicKey(), public) {
			return use(s)
		}
	}
	return errors.New("ssh-agent does not have this key: ssh-add its private key file")
}
