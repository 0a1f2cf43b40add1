package ui

import (
	"fmt"
	"math"
	"time"
)

// meterMemory is how long past speed counts: shorter and the time left jumps,
// longer and a stall goes unseen.
const meterMemory = 10 * time.Second

// meter measures speed: bytes over time, where both fade with age. The speed is
// right from the first sample on and falls towards zero in a stall.
type meter struct {
	last         time.Time
	n            int64
	bytes, weigh float64
}

// observe notes that n bytes are done at now.
func (m *meter) observe(n int64, now time.Time) {
	dt := now.Sub(m.last).Seconds()
	if dt < 0.05 {
		return // too short to tell anything
	}
	fade := math.Exp(-dt / meterMemory.Seconds())
	m.bytes = m.bytes*fade + float64(n-m.n)
	m.weigh = m.weigh*fade + dt
	m.last, m.n = now, n
}

// perSecond is the speed in bytes.
func (m *meter) perSecond() float64 {
	if m.weigh == 0 {
		return 0
	}
	return max(0, m.bytes/m.weigh)
}

// String is the speed as "35.1MB/s", blank before it is measured.
func (m *meter) String() string {
	if m.weigh == 0 {
		return ""
	}
	return Size3(int64(m.perSecond())) + "/s"
}

// left is the time until total is reached, blank where there is no telling.
func (m *meter) left(n, total int64) string {
	speed := m.perSecond()
	if speed < 1 || n >= total {
		return ""
	}
	seconds := float64(total-n) / speed
	if seconds > (99 * 24 * time.Hour).Seconds() {
		return ""
	}
	return shortTime(time.Duration(max(1, math.Round(seconds))) * time.Second)
}

// shortTime writes d in at most six characters.
func shortTime(d time.Duration) string {
	s := max(0, int(d.Seconds()))
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}

// percent never says 100% before the end, nor more after it.
func percent(n, total int64) string {
	if n <= 0 || total <= 0 {
		return "0%"
	}
	return fmt.Sprintf("%d%%", int(min(1, float64(n)/float64(total))*100))
}
