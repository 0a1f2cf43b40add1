package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

// orphan makes an untagged image and a child of it, on an engine that is podman
// or says so. A containerd store has no such ties.
func orphan(t *testing.T) (e *enginetest.Engine, w *wire, parent, child digest.Digest) {
	t.Helper()
	e, _ = setup(t)
	w = tap(t, e)
	w.answer = imitate
	parent, child = commit(t, e, "parent:1", "child:1")
	e.Tag(t, e.Load(t, sample("other", "other:1"))[0].String(), "parent:1")
	return e, w, parent, child
}

// Podman removes an untagged parent with the last image that was built on it.
func TestRemoveSparesUntaggedParent(t *testing.T) {
	e, w, parent, child := orphan(t)
	if e.Store == engine.Containerd {
		return
	}
	_, err := w.Remove(t.Context(), inspect(t, w.Client, child.String()))
	w.wantUnsafe(t, err, child, "child:1")
	if err == nil || !strings.Contains(err.Error(), parent.String()) {
		t.Errorf("Remove = %v, want it to name %s", err, parent)
	}
	wantNames(t, w.Client, parent)
	if !e.Differs(t, enginetest.ParentsGoFirst) {
		return
	}
	for _, id := range []digest.Digest{parent, child} {
		if _, err := w.Remove(t.Context(), inspect(t, w.Client, id.String())); err != nil {
			t.Errorf("Remove of %s = %v, the parent first", id, err)
		}
		wantGone(t, e, id.String())
	}
}

// A parent of another image as well stays by itself.
func TestRemoveWithASiblingNeedsNoCare(t *testing.T) {
	e, w, parent, child := orphan(t)
	if e.Store == engine.Containerd {
		return
	}
	sibling := derive(t, e, parent.String(), "sibling:1")
	if _, err := w.Remove(t.Context(), inspect(t, w.Client, child.String())); err != nil {
		t.Error(err)
	}
	wantGone(t, e, child.String())
	wantNames(t, w.Client, parent)
	wantNames(t, w.Client, sibling, "sibling:1")
}

// imitate has an engine say that it is not Docker's own.
func imitate(r *http.Response) error {
	if !strings.HasSuffix(r.Request.URL.Path, "/version") {
		return nil
	}
	return rewrite(r, func(v *map[string]any) {
		(*v)["ApiVersion"] = "1.43"
		(*v)["Components"] = []map[string]any{{"Name": "Podman Engine"}}
	})
}

// The ID of an engine keeps runs on it apart. Podman makes up another one each
// time that it is asked.
func TestInfoKnowsTheEngineAgain(t *testing.T) {
	e, c := setup(t)
	first, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := dial(t, e, e.Host).Info(t.Context())
	if err != nil || first.ID == "" || again.ID != first.ID {
		t.Errorf("ID = %q, then %q, %v; want the same", first.ID, again.ID, err)
	}
	want := "Docker"
	if e.Kind == "podman" {
		want = "Podman"
	}
	if first.Product != want {
		t.Errorf("Product = %q, want %q", first.Product, want)
	}
	w := tap(t, e)
	w.answer = imitate
	if imitator, err := w.Info(t.Context()); err != nil || imitator.Product != "Podman" || !strings.Contains(imitator.ID, e.DataRoot) {
		t.Errorf("Info = %+v, %v, want podman's name and an ID of its folder", imitator, err)
	}
}

// Podman has the mounted image's name in another place than Docker, whose
// containers are made to look so.
func TestContainersFindMountsBySource(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1"))
	if e.Differs(t, enginetest.MountsByNameDoubt) {
		mountOnPodman(t, e, "y:1", ids[0].String())
	} else {
		e.CreateContainer(t, "y:1", "/key")
		w.answer = func(r *http.Response) error {
			return changeMounts(r, map[string]any{"Type": "image", "Source": ids[0]})
		}
	}
	_, err := w.Remove(t.Context(), inspect(t, w.Client, ids[0].String()))
	if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "mounts it as") {
		t.Errorf("Remove = %v, want a conflict over the mount", err)
	}
	wantNames(t, w.Client, ids[0], "x:1")
}

// mountOnPodman creates a container that mounts an image, by podman's own API.
func mountOnPodman(t *testing.T, e *enginetest.Engine, image, mounted string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"image": image, "command": []string{"/key"}, "netns": map[string]string{"nsmode": "none"},
		"image_volumes": []map[string]any{{"Destination": "/mnt", "Source": mounted}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dialer := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
	}
	c := http.Client{Transport: &http.Transport{DialContext: dialer, DisableKeepAlives: true}}
	res, err := c.Post("http://podman/v4.0.0/libpod/containers/create", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		answer, _ := io.ReadAll(res.Body)
		t.Fatalf("creating a container that mounts %s: %s: %s", mounted, res.Status, answer)
	}
}

// wantNoPlainPush checks that the engine refuses to push without TLS.
func wantNoPlainPush(t *testing.T, e *enginetest.Engine, id digest.Digest, name string) {
	t.Helper()
	e.Tag(t, id.String(), name)
	body, err := e.API().ImagePush(t.Context(), name, image.PushOptions{RegistryAuth: "e30="})
	if err == nil {
		defer body.Close()
		err = decodeMessages(body, nil)
	}
	if err == nil || !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		t.Errorf("push without TLS = %v, want a refusal", err)
	}
}
