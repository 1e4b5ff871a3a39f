package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"muster/console"
)

// Config says how to follow a cluster. The zero value looks each second.
type Config struct {
	Every time.Duration // between two looks; 0 means 1s
	Head  string        // lines above the tables
	Foot  func() string // lines below them, asked at each look; nil means none
}

// A Source gives the newest status.
type Source func(context.Context) (console.Status, error)

// Terminal says whether what is written there is seen on a terminal.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Watch shows the cluster until the context ends, or, on a terminal, until q or Ctrl-C is typed. Where there is no
// terminal, it writes the tables one below the other. It goes on when a look gives an error, and shows that.
func Watch(ctx context.Context, w io.Writer, cfg Config, source Source) error {
	if cfg.Every <= 0 {
		cfg.Every = time.Second
	}
	if !Terminal(w) {
		return plain(ctx, w, cfg, source)
	}
	_, err := tea.NewProgram(&model{ctx: ctx, cfg: cfg, source: source}, tea.WithContext(ctx), tea.WithOutput(w)).Run()
	if errors.Is(err, tea.ErrInterrupted) || errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil // both are how one leaves
	}
	return err
}

func plain(ctx context.Context, w io.Writer, cfg Config, source Source) error {
	tick := time.NewTicker(cfg.Every)
	defer tick.Stop()
	for {
		l := look(ctx, source)
		if ctx.Err() != nil {
			return nil
		}
		if _, err := fmt.Fprintf(w, "%s\n%s\n", l.at.Format(time.RFC3339), l.text(cfg, 0, false)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// A view is what one look gave.
type view struct {
	at     time.Time
	status console.Status
	err    error
}

func look(ctx context.Context, source Source) view {
	s, err := source(ctx)
	return view{time.Now(), s, err}
}

func (v view) text(cfg Config, width int, colours bool) string {
	text := cfg.Head
	if text != "" {
		text += "\n"
	}
	if v.err != nil {
		text += v.err.Error() + "\n"
	} else {
		text += Text(v.status, v.at, width, colours)
	}
	if cfg.Foot != nil {
		if foot := cfg.Foot(); foot != "" {
			text += "\n" + foot
		}
	}
	return text
}

// model is the table on a terminal, as bubbletea wants it.
type model struct {
	ctx    context.Context // bubbletea's methods are handed none
	cfg    Config
	source Source
	last   view
	width  int
}

type again struct{}

func (m *model) Init() tea.Cmd { return m.look }

func (m *model) look() tea.Msg { return look(m.ctx, m.source) }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "ctrl+c", "esc":
			return m, tea.Quit
		}
	case view:
		m.last = msg
		return m, tea.Tick(m.cfg.Every, func(time.Time) tea.Msg { return again{} })
	case again:
		return m, m.look
	}
	return m, nil
}

func (m *model) View() tea.View {
	text := "asking...\n"
	if !m.last.at.IsZero() {
		text = m.last.text(m.cfg, m.width, true)
	}
	v := tea.NewView(text + "\n" + faint.Render("q leaves"))
	v.AltScreen = true
	return v
}
