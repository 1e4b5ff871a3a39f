// Package plot draws the figures of a benchmark as SVG.
package plot

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Panel is one drawing of a file; panels stand side by side.
type Panel struct {
	Title, X, Y string
	Groups      []string // bars: what stands below each group of them
	Log         bool     // lines: both axes are logarithmic, for what grows by factors; no value may be 0
	Series      []Series
}

// A Series is what one contender brought.
type Series struct {
	Name string
	X    []float64 // of a line; nil for bars, which have one value a group
	Y    []float64
}

// colours can be told apart also by who does not see red and green differently (Okabe and Ito, 2008).
var colours = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff},
	color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	color.RGBA{0x55, 0x55, 0x55, 0xff},
	color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	color.RGBA{0x00, 0x00, 0x00, 0xff},
}

const (
	width  = 12 * vg.Centimeter // of a panel
	height = 9 * vg.Centimeter
	bar    = 7 * vg.Millimeter
)

// Write draws the panels into a file, which appears whole or not at all.
func Write(file string, panels ...Panel) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".plot-")
	if err != nil {
		return fmt.Errorf("draw %s: %w", file, err)
	}
	defer os.Remove(tmp.Name()) // which has been renamed if all went well
	err = Draw(tmp, panels...)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("draw %s: %w", file, err)
	}
	return nil
}

// Draw writes the panels as one SVG.
func Draw(w io.Writer, panels ...Panel) error {
	canvas := vgsvg.New(width*vg.Length(len(panels)), height)
	for i, p := range panels {
		drawn, err := p.plot()
		if err != nil {
			return fmt.Errorf("panel %q: %w", p.Title, err)
		}
		left := width * vg.Length(i)
		drawn.Draw(draw.Canvas{
			Canvas:    canvas,
			Rectangle: vg.Rectangle{Min: vg.Point{X: left + 3*vg.Millimeter}, Max: vg.Point{X: left + width - 4*vg.Millimeter, Y: height - 2*vg.Millimeter}},
		})
	}
	_, err := canvas.WriteTo(w)
	return err
}

func (p Panel) plot() (*plot.Plot, error) {
	out := plot.New()
	out.Title.Text, out.X.Label.Text, out.Y.Label.Text = p.Title, p.X, p.Y
	out.Y.Min = 0
	if p.Log {
		out.X.Scale, out.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		out.Y.Scale, out.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		out.Y.Min = math.Inf(1)
	}
	// On the left a viewer's wider font does no harm: the text runs away from its colour.
	out.Legend.Top, out.Legend.Left, out.Legend.Padding = true, true, vg.Millimeter
	grid := plotter.NewGrid()
	if p.Groups != nil {
		grid.Vertical.Width = 0
	}
	out.Add(grid)
	for i, s := range p.Series {
		colour := colours[i%len(colours)]
		if s.X == nil {
			bars, err := plotter.NewBarChart(plotter.Values(s.Y), bar)
			if err != nil {
				return nil, err
			}
			bars.Color, bars.LineStyle.Width = colour, 0
			bars.Offset = bar * (vg.Length(i) - vg.Length(len(p.Series)-1)/2)
			values, err := figures(s.Y, bars.Offset)
			if err != nil {
				return nil, err
			}
			out.Add(bars, values)
			out.Legend.Add(s.Name, bars)
			continue
		}
		points := make(plotter.XYs, len(s.X))
		for j := range s.X {
			points[j] = plotter.XY{X: s.X[j], Y: s.Y[j]}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width, dots.Color = colour, vg.Points(1.5), colour
		dots.Shape = draw.CircleGlyph{}
		out.Add(line, dots)
		out.Legend.Add(s.Name, line, dots)
	}
	if p.Groups != nil {
		out.NominalX(p.Groups...)
	}
	out.Y.Max *= 1.35 // room for the legend
	if p.Log {
		out.Y.Max *= 10
	}
	return out, nil
}

// figures stand above the bars of a series.
func figures(y []float64, offset vg.Length) (*plotter.Labels, error) {
	at := plotter.XYLabels{XYs: make(plotter.XYs, len(y)), Labels: make([]string, len(y))}
	for i, v := range y {
		at.XYs[i] = plotter.XY{X: float64(i), Y: v}
		at.Labels[i] = fmt.Sprintf("%.3g", v)
	}
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return nil, err
	}
	labels.Offset = vg.Point{X: offset, Y: vg.Millimeter}
	for i := range labels.TextStyle {
		labels.TextStyle[i].XAlign = draw.XCenter
		labels.TextStyle[i].Font.Size = vg.Points(8)
	}
	return labels, nil
}
