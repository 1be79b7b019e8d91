/* Draws every figure of a page with the local copy of plotly.js: in the theme's colours, light
   or dark, and laid out for the width there is. Trace colours are the author's and stay. */
(() => {
  "use strict";

  const NARROW = 560; // px; below this the legend goes under the plot
  const CLEAR = "rgba(0,0,0,0)";
  const library = new URL("plotly.min.js", document.currentScript.src).href;
  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d"],
  };

  const isAxis = (name) => /^[xyz]axis\d*$/.test(name);
  const isObject = (value) => value !== null && typeof value === "object";
  const child = (parent, name) => (parent[name] = isObject(parent[name]) ? parent[name] : {});

  function themeColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    return {
      text: read("--pst-color-text-base"),
      muted: read("--pst-color-text-muted"),
      grid: read("--pst-color-border"),
      surface: read("--pst-color-surface"),
      family: getComputedStyle(document.body).fontFamily,
    };
  }

  function paintAxis(axis, colours, styled) {
    for (const name of ["gridcolor", "zerolinecolor"]) axis[name] = colours.grid;
    for (const name of ["linecolor", "tickcolor"]) axis[name] = colours.muted;
    if (isObject(axis.minor)) axis.minor.gridcolor = colours.grid;
    if (isObject(axis.rangeselector)) axis.rangeselector.bgcolor = colours.surface;
    if (styled) {
      child(axis, "tickfont").color = colours.text;
      child(child(axis, "title"), "font").color = colours.text;
    }
  }

  // `styled`: this is the template, whose fonts are the house style and are repainted.
  // A font colour that the author set on the figure itself has a meaning and is kept.
  function paint(layout, colours, styled) {
    layout.paper_bgcolor = layout.plot_bgcolor = CLEAR;
    Object.assign(child(layout, "font"), { color: colours.text, family: colours.family });
    if (styled) for (const name of ["xaxis", "yaxis"]) child(layout, name);
    for (const [name, part] of Object.entries(layout)) {
      if (!isObject(part)) continue;
      if (isAxis(name)) paintAxis(part, colours, styled);
      if (/^(scene|polar|ternary)\d*$/.test(name)) {
        part.bgcolor = CLEAR;
        for (const [inner, axis] of Object.entries(part)) {
          if (!/axis$/.test(inner) || !isObject(axis)) continue;
          paintAxis(axis, colours, styled);
          if (/^scene/.test(name)) axis.backgroundcolor = CLEAR;
        }
      }
      if (/^coloraxis\d*$/.test(name)) {
        Object.assign(child(part, "colorbar"), {
          outlinecolor: colours.grid,
          tickcolor: colours.muted,
        });
      }
    }
    const legend = child(layout, "legend");
    legend.bgcolor = CLEAR;
    legend.bordercolor = colours.grid;
    Object.assign(child(layout, "modebar"), {
      bgcolor: CLEAR,
      color: colours.muted,
      activecolor: colours.text,
    });
    const hover = child(layout, "hoverlabel");
    Object.assign(hover, { bgcolor: colours.surface, bordercolor: colours.grid });
    Object.assign(child(hover, "font"), { color: colours.text, family: colours.family });
    for (const note of layout.annotations ?? []) {
      if (note.bgcolor && !note.font?.color) note.bgcolor = colours.surface;
    }
    if (!styled) return;
    for (const part of [legend, child(layout, "title")]) {
      child(part, "font").color = colours.text;
    }
    child(child(legend, "title"), "font").color = colours.text;
    const notes = child(layout, "annotationdefaults");
    child(notes, "font").color = colours.text;
    notes.arrowcolor = colours.muted;
    child(child(layout, "shapedefaults"), "line").color = colours.muted;
    for (const name of ["updatemenudefaults", "sliderdefaults"]) {
      Object.assign(child(layout, name), { bgcolor: colours.surface, bordercolor: colours.grid });
    }
  }

  function wrap(text, columns) {
    if (typeof text !== "string" || /<br/i.test(text)) return text;
    const lines = [""];
    for (const word of text.split(/\s+/)) {
      const line = lines[lines.length - 1];
      if (line && (line + " " + word).replace(/<[^>]*>/g, "").length > columns) lines.push(word);
      else lines[lines.length - 1] = line ? line + " " + word : word;
    }
    return lines.join("<br>");
  }

  function legendRows(data, layout) {
    const entries = new Set();
    for (const [i, trace] of data.entries()) {
      if (trace.showlegend === false || trace.visible === false || !trace.name) continue;
      entries.add(trace.legendgroup || i);
    }
    const shown = layout.showlegend ?? entries.size > 1;
    return shown ? Math.ceil(entries.size / 2) : 0;
  }

  // Panels side by side are too thin on a phone: put them one below the other, in reading order,
  // and take their titles along. Returns the number of panels, or 0 where nothing was moved.
  function stack(layout) {
    const names = Object.keys(layout);
    if (names.some((name) => /^(scene|polar|ternary|geo|map)\d*$/.test(name))) return 0;
    const panels = [];
    for (const name of names) {
      if (!/^xaxis\d*$/.test(name) || layout[name].overlaying) continue;
      const across = layout[name];
      const up = layout["yaxis" + (across.anchor ?? "y").slice(1)];
      if (!across.domain || !up?.domain) return 0;
      panels.push({ across, up, x: [...across.domain], y: [...up.domain] });
    }
    if (new Set(panels.map(({ x }) => x[0])).size < 2) return 0;
    panels.sort((a, b) => b.y[1] - a.y[1] || a.x[0] - b.x[0]);
    const notes = (layout.annotations ?? []).filter(
      ({ xref, yref }) => (xref ?? "paper") === "paper" && (yref ?? "paper") === "paper",
    );
    const moves = [];
    for (const [i, panel] of panels.entries()) {
      const gap = 0.25 / panels.length; // for the tick labels above and the title below it
      const height = (1 - gap * (panels.length - 1)) / panels.length;
      const top = 1 - i * (height + gap);
      for (const note of notes) {
        const middle = (panel.x[0] + panel.x[1]) / 2;
        if (Math.abs(note.x - middle) < 1e-6 && Math.abs(note.y - panel.y[1]) < 1e-6) {
          moves.push([note, top]);
        }
      }
      panel.across.domain = [0, 1];
      panel.up.domain = [Math.max(0, top - height), top];
      panel.up.showticklabels = panel.across.showticklabels = true;
    }
    for (const [note, top] of moves) Object.assign(note, { x: 0.5, y: top });
    return panels.length;
  }

  function narrow(figure, layout, width) {
    const template = child(child(layout, "template"), "layout");
    for (const name of ["xaxis", "yaxis"]) child(template, name);
    for (const part of [template, layout]) {
      for (const [name, axis] of Object.entries(part)) {
        if (isAxis(name) && isObject(axis)) axis.automargin = true;
      }
    }
    const columns = Math.floor(width / 7.5);
    let title = typeof layout.title === "string" ? { text: layout.title } : layout.title;
    let lines = 0;
    if (title?.text) {
      const text = wrap(title.text, columns);
      lines = text.split("<br>").length;
      layout.title = {
        ...title, text, font: { ...title.font, size: 14 },
        x: 0, xref: "container", xanchor: "left", y: 1, yref: "container", yanchor: "top",
        pad: { t: 14, l: 4 },
      };
    }
    const cells = stack(layout);
    for (const note of layout.annotations ?? []) {
      if (note.showarrow === false) note.text = wrap(note.text, columns);
    }
    layout.margin = { l: 8, r: 12, t: lines ? 22 + 18 * lines : 24, b: 8, pad: 0 };
    layout.font.size = Math.min(layout.font.size ?? 12, 12);
    layout.legend = {
      ...layout.legend,
      orientation: "h", x: 0, xref: "container", xanchor: "left",
      y: 0, yref: "container", yanchor: "bottom",
    };
    layout.dragmode = false; // a finger that scrolls the page must not zoom the plot
    const height = cells ? Math.max(layout.height ?? 0, 280 * cells) : layout.height ?? 400;
    layout.height = height + 20 * legendRows(figure.data, layout);
  }

  function adapted(figure, width, colours) {
    const layout = structuredClone(figure.layout ?? {});
    delete layout.width;
    layout.autosize = true;
    paint(layout, colours, false);
    paint(child(child(layout, "template"), "layout"), colours, true);
    if (width < NARROW) narrow(figure, layout, width);
    return layout;
  }

  const figures = Array.from(document.querySelectorAll("figure.labkit-figure"), (element) => ({
    element,
    plot: element.querySelector(".labkit-plot"),
    data: JSON.parse(element.querySelector("script.labkit-data").textContent),
    width: 0,
  }));

  async function draw(figure) {
    const width = figure.plot.clientWidth;
    if (!width) return; // folded away; the observer calls again when it is opened
    figure.width = width;
    const layout = adapted(figure.data, width, themeColours());
    figure.plot.style.minHeight = `${layout.height ?? 450}px`;
    await Plotly.react(figure.plot, figure.data.data, layout, config);
    if (figure.data.frames && !figure.plot.dataset.drawn) {
      await Plotly.addFrames(figure.plot, figure.data.frames);
    }
    figure.plot.dataset.drawn = document.documentElement.dataset.theme;
  }

  function fail(error) {
    for (const { element, plot } of figures) {
      if (plot.dataset.drawn) continue;
      const message = document.createElement("p");
      message.className = "labkit-failed";
      message.textContent = `This figure could not be drawn (${error.message}). It shows: `
        + plot.getAttribute("aria-label");
      plot.replaceChildren(message);
    }
    console.error(error);
  }

  const load = new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = library;
    script.onload = resolve;
    script.onerror = () => reject(new Error("plotly.min.js did not load"));
    document.head.append(script);
  });

  load.then(() => {
    const resized = new ResizeObserver((entries) => {
      for (const entry of entries) {
        const figure = figures.find(({ plot }) => plot === entry.target);
        const width = figure.plot.clientWidth;
        if (!width || Math.abs(width - figure.width) < 2) continue;
        const relaid = !figure.width || width < NARROW || figure.width < NARROW;
        if (relaid) {
          draw(figure).catch(fail);
        } else {
          figure.width = width;
          Plotly.Plots.resize(figure.plot);
        }
      }
    });
    for (const { plot } of figures) resized.observe(plot);
    new MutationObserver(() => {
      for (const figure of figures) {
        if (figure.width && figure.plot.dataset.drawn !== document.documentElement.dataset.theme) {
          draw(figure).catch(fail);
        }
      }
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }).catch(fail);
})();
