package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxSize bounds a file; a person wrote it.
const maxSize = 1 << 20 // bytes

// Read reads files in YAML, the weakest first. Those of optional that are not
// there are passed over, but not a link that leads nowhere: what it led to may
// protect images. Named, which may be empty, has to be there and is the
// strongest. An error wraps [ErrBad] where it is about what a file says.
func Read(optional []string, named string) (Config, error) {
	var all Config
	for _, path := range append(optional, named) {
		if path == "" {
			continue
		}
		c, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) && path != named && absent(path) {
			continue
		}
		if err != nil {
			return Config{}, err
		}
		all = over(c, all)
	}
	return all, nil
}

// absent reports whether nothing at all has that name.
func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func readFile(path string) (Config, error) {
	// A pipe would be waited for as soon as it is opened.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return Config{}, unfit(path, info)
	}
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if err := unfit(path, info); err != nil {
		return Config{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxSize {
		return Config{}, fmt.Errorf("%s: %w: it is larger than a configuration can be", path, ErrBad)
	}
	return Parse(path, data)
}

// unfit says why a file is no configuration. Who may write to it decides what
// is removed, and where archives are looked for.
func unfit(path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: %w: it is no regular file", path, ErrBad)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%s: %w: everybody may write to it: chmod o-w", path, ErrBad)
	}
	return nil
}

// Parse reads the content of a file. Its name is for errors and origins.
func Parse(name string, data []byte) (Config, error) {
	p := parser{file: name}
	root, err := p.document(data)
	c := Config{Files: []string{name}}
	if err != nil || root == nil {
		return c, err
	}
	rest, err := p.section(root, SettingKeys, &c.Settings, "retention", "policies")
	if err != nil {
		return Config{}, err
	}
	if node := rest["retention"]; node != nil {
		if _, err := p.section(node, RetentionKeys, &c.Retention); err != nil {
			return Config{}, err
		}
	}
	if node := rest["policies"]; node != nil {
		if c.Policies, err = p.policies(node); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}

type parser struct{ file string }

func (p parser) at(n *yaml.Node) Origin { return Origin{p.file, n.Line} }

// document returns the one mapping that a file is, or nil where it is empty.
func (p parser) document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		if err = dec.Decode(&more); err == nil {
			return nil, p.at(&more).Errorf("a second document: want one in each file")
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: %s", p.file, ErrBad, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	root := resolved(doc.Content[0])
	if isNull(root) {
		return nil, nil
	}
	return root, nil
}

// section reads a mapping of settings. Keys of others are returned unread.
func (p parser) section(n *yaml.Node, keys map[string]kind, into *Section, others ...string) (map[string]*yaml.Node, error) {
	*into = Section{}
	rest := map[string]*yaml.Node{}
	err := p.each(n, func(key, value *yaml.Node) error {
		for _, other := range others {
			if key.Value == other {
				rest[other] = value
				return nil
			}
		}
		k, ok := keys[key.Value]
		if !ok {
			return p.at(key).Errorf("there is no setting %q here; there are %s", key.Value, known(keys, others...))
		}
		values, err := p.values(key, value)
		if err != nil {
			return err
		}
		if why := k.check(values); why != "" {
			return p.at(value).Errorf("%s: %s", key.Value, why)
		}
		(*into)[key.Value] = Setting{Values: values, From: p.at(key)}
		return nil
	})
	return rest, err
}

func (p parser) policies(n *yaml.Node) (policies []Policy, err error) {
	err = p.each(n, func(key, value *yaml.Node) error {
		policy := Policy{Name: key.Value, From: p.at(key)}
		rest, err := p.section(value, PolicyKeys, &policy.Settings, "retention")
		if err != nil {
			return err
		}
		if len(policy.Repositories()) == 0 {
			return p.at(key).Errorf("policy %s: want repositories, such as [demo-api, 'ghcr.io/team/**']", key.Value)
		}
		if node := rest["retention"]; node != nil {
			if _, err := p.section(node, RetentionKeys, &policy.Retention); err != nil {
				return err
			}
		}
		policies = append(policies, policy)
		return nil
	})
	return over(Config{Policies: policies}, Config{}).Policies, err
}

// each calls do for what is in a mapping, in its order.
func (p parser) each(n *yaml.Node, do func(key, value *yaml.Node) error) error {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		return p.at(n).Errorf("want settings, such as 'keep-last: 3'")
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolved(n.Content[i+1])
		if key.Kind != yaml.ScalarNode {
			return p.at(key).Errorf("want the name of a setting")
		}
		if line, ok := seen[key.Value]; ok {
			return p.at(key).Errorf("%s is set in line %d already", key.Value, line)
		}
		seen[key.Value] = key.Line
		if err := do(key, value); err != nil {
			return err
		}
	}
	return nil
}

// values reads a text or a list of texts.
func (p parser) values(key, n *yaml.Node) ([]string, error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	values := make([]string, 0, len(items))
	for _, item := range items {
		item = resolved(item)
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return nil, p.at(item).Errorf("%s: want a value%s", key.Value, hint(item))
		}
		if item.Value == "" && !mayBeEmpty[key.Value] {
			return nil, p.at(item).Errorf("%s: an empty value: leave it out, or give one", key.Value)
		}
		values = append(values, item.Value)
	}
	return values, nil
}

// hint helps who forgot that ! and * mean something to YAML.
func hint(n *yaml.Node) string {
	if isNull(n) && strings.HasPrefix(n.Tag, "!") && n.Tag != "!!null" {
		return ": a pattern that begins with ! needs quotes"
	}
	return ""
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	quoted := n.Style &^ yaml.TaggedStyle
	return n.Kind == yaml.ScalarNode && quoted == 0 && (n.Value == "" || n.ShortTag() == "!!null")
}
