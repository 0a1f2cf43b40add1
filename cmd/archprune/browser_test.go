//go:build browser

package main

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/archprune/archprune/engine/enginetest"
)

// TestReportInABrowser looks at the page of a real engine in a real browser.
// With BROWSER_SHOTS it leaves pictures in that folder.
func TestReportInABrowser(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.html")
	thirtyImages(t)
	succeed(t, "save", "--progress", "none", "demo-api:*", "demo-worker:*")
	succeed(t, "report", "--html", file, "--keep", "demo-*", "--keep-last", "2", "--protect", "runtime")

	b := openBrowser(t)
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate("file://"+file))
	if rows := ask[int](b, `document.querySelectorAll("#images tbody tr").length`); rows != 31 {
		t.Errorf("the table has %d images, want 31", rows)
	}
	b.keys()
	b.sorts()
	b.shots()
	b.fits()
	b.quiet()
	b.obeysPolicy()
}

// thirtyImages fills the engine that tests share as a build host's is, small.
func thirtyImages(t *testing.T) {
	eng := enginetest.Shared(t)
	eng.Reset(t)
	for _, v := range eng.Env() {
		key, value, _ := strings.Cut(v, "=")
		t.Setenv(key, value)
	}
	t.Setenv("ARCHPRUNE_ARCHIVE", filepath.Join(t.TempDir(), "archive"))
	t.Setenv("ARCHPRUNE_JOURNAL", t.TempDir())
	images := append(enginetest.Family(10, 0.03), enginetest.BuildHost(12, 0.03)...)
	busybox := enginetest.Busybox(t)
	for i := range 5 {
		images = append(images, enginetest.Image{Names: []string{fmt.Sprintf("ghcr.io/team/demo-worker:1.%d", i), fmt.Sprintf("demo-worker:1.%d", i)}, Cmd: []string{"/bin/true"},
			Layers: []enginetest.Layer{busybox, enginetest.Content(uint64(500+i), int64(1+i)*300_000)}})
	}
	for i := range 2 {
		images = append(images, enginetest.Image{Layers: []enginetest.Layer{busybox, enginetest.Content(uint64(600+i), 700_000)}})
	}
	images = append(images, enginetest.RegistryBase(0.03),
		enginetest.Image{Names: []string{"demo-cache:latest"}, Layers: []enginetest.Layer{enginetest.Content(700, 4_000_000)}})
	eng.Load(t, images...)
	eng.RunContainer(t, "demo-worker:1.4", "sleep", "1000")
}

// succeed runs a command of archprune's.
func succeed(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer
	if code := run(t.Context(), append([]string{"archprune"}, args...), strings.NewReader(""), &out, &out); code != 0 {
		t.Fatalf("archprune %s: exit status %d\n%s", strings.Join(args, " "), code, out.String())
	}
}

// browser is headless Chromium.
type browser struct {
	t        *testing.T
	ctx      context.Context
	messages iter.Seq2[chromedp.ConsoleMessage, error]
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, cancelTime := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancelTime)
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir())))
	t.Cleanup(cancel)
	return &browser{t, ctx, chromedp.Console(ctx)}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatalf("the browser (chromium): %v", err)
	}
}

// ask runs a script in the page.
func ask[T any](b *browser, script string) T {
	b.t.Helper()
	return got(b, chromedp.Evaluate[T](script))
}

func got[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatalf("the browser (chromium): %v", err)
	}
	return v
}

// quiet looks whether the browser had anything to complain of.
func (b *browser) quiet() {
	b.do(chromedp.Evaluate[chromedp.Void](`console.log("that was all")`))
	for m, err := range b.messages {
		if err != nil {
			b.t.Fatal(err)
		}
		if m.Text == "that was all" {
			return
		}
		b.t.Errorf("the browser complains: %s: %s", m.Type, m.Text)
	}
}

const focused = `(document.activeElement.getAttribute("href") || document.activeElement.id || "")`

// keys goes through both charts with the keyboard alone.
func (b *browser) keys() {
	for chart, name := range map[string]string{"svg.map": "the treemap", "svg.time": "the timeline"} {
		b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
		within := fmt.Sprintf(`document.activeElement.closest(%q) ? 1 : 0`, chart)
		for tabs := 0; ask[int](b, within) == 0; tabs++ {
			if tabs > 120 {
				b.t.Fatalf("the Tab key does not reach %s", name)
			}
			b.do(chromedp.KeyEvent(kb.Tab))
		}
		first := ask[string](b, focused)
		b.do(chromedp.KeyEvent(kb.End))
		last := ask[string](b, focused)
		b.do(chromedp.KeyEvent(kb.Home))
		if again := ask[string](b, focused); again != first || last == first {
			b.t.Errorf("%s: Home leads to %q and End to %q, from %q", name, again, last, first)
		}
		moved := false
		for _, key := range []string{kb.ArrowRight, kb.ArrowDown, kb.ArrowLeft, kb.ArrowUp} {
			before := ask[string](b, focused)
			b.do(chromedp.KeyEvent(key))
			moved = moved || ask[string](b, focused) != before
		}
		if !moved {
			b.t.Errorf("%s: arrow keys lead nowhere", name)
		}
		if told, about := ask[string](b, fmt.Sprintf(`document.activeElement.closest(%q).parentElement.querySelector("figcaption").textContent`, chart)),
			ask[string](b, `document.activeElement.getAttribute("aria-label")`); told != about || about == "" {
			b.t.Errorf("%s: the caption says %q, want %q", name, told, about)
		}
		target := ask[string](b, focused)
		b.do(chromedp.KeyEvent(kb.Enter), chromedp.Poll[chromedp.Void](`document.activeElement.tagName == "TR"`))
		if row := ask[string](b, focused); "#"+row != target {
			b.t.Errorf("%s: Enter at %q leads to %q", name, target, row)
		}
	}
}

// sorts orders the images by what they take for themselves.
func (b *browser) sorts() {
	b.do(chromedp.Focus(chromedp.CSS(`#images th:nth-child(4) [role=button]`)), chromedp.KeyEvent(kb.Enter))
	sorted := ask[int](b, `{const v = [...document.querySelectorAll("#images tbody tr td:nth-child(4)")].map((c) => Number(c.dataset.value)); v.every((n, i) => i == 0 || v[i - 1] >= n) ? 1 : 0}`)
	if sorted != 1 || ask[string](b, `document.querySelector("#images th:nth-child(4)").getAttribute("aria-sort")`) != "descending" {
		b.t.Error("the table is not sorted by unique bytes")
	}
}

// fits looks whether a phone's screen has to scroll sideways.
func (b *browser) fits() {
	b.do(chromedp.EmulateViewport(390, 844))
	if wide := ask[int](b, `document.documentElement.scrollWidth`); wide > 390 {
		b.t.Errorf("the page is %d pixels wide on a screen of 390", wide)
	}
}

// obeysPolicy tries what the page's policy forbids.
func (b *browser) obeysPolicy() {
	got := ask[int](b, `{const s = document.createElement("script"); s.textContent = "window.came = 1"; document.body.append(s); window.came || 0}`)
	if got != 0 {
		b.t.Error("a script that is not the page's own was run")
	}
}

func (b *browser) shots() {
	dir := os.Getenv("BROWSER_SHOTS")
	if dir == "" {
		return
	}
	for _, scheme := range []string{"light", "dark"} {
		b.emulate(emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		for size, width := range map[string]int64{"wide": 1280, "narrow": 390} {
			b.do(chromedp.EmulateViewport(width, 900))
			b.keep(filepath.Join(dir, scheme+"-"+size+".png"), got(b, chromedp.FullScreenshot(100)))
		}
	}
	b.emulate(emulation.SetEmulatedMediaParams{})
	b.do(chromedp.EmulateViewport(1280, 900))
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("svg.map a")[5].focus()`))
	for _, lack := range []emulation.SetEmulatedVisionDeficiencyType{"deuteranopia", "tritanopia", "achromatopsia", "none"} {
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedVisionDeficiency, emulation.SetEmulatedVisionDeficiencyParams{Type: lack})
			return err
		}))
		b.keep(filepath.Join(dir, "vision-"+string(lack)+".png"), got(b, chromedp.CaptureScreenshot()))
	}
	b.keep(filepath.Join(dir, "print.pdf"), got(b, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize())))
}

func (b *browser) emulate(media emulation.SetEmulatedMediaParams) {
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
		return err
	}))
}

func (b *browser) keep(file string, data []byte) {
	if err := os.WriteFile(file, data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
