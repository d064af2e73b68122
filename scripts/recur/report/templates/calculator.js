// Applies the frozen models exactly as recur.fit.models does (complete, linear_predictor, risk_at, risk_group).
"use strict";
document.documentElement.classList.add("js");
document.addEventListener("DOMContentLoaded", function () {
  const Z95 = 1.959963984540054;
  const find = (id) => document.getElementById(id);
  const models = JSON.parse(find("data").textContent);
  const number = (value) => String(+value.toPrecision(4));
  const percent = (risk) => risk > 0.9995 ? "> 99.9 %" : risk < 0.0005 ? "< 0.1 %" : `${(100 * risk).toFixed(1)} %`;
  let model = models[0];
  const kept = new Map(); // what was entered, by analysis and term: another model of the analysis asks for the same

  // ---- the model

  // The design columns with every missing cell filled by the frozen conditional means: recur.predict.imputation.complete.
  function complete(imputer, values) {
    const place = new Map(imputer.predictors.map((name, j) => [name, j]));
    const design = new Array(imputer.predictors.length).fill(0);
    const missing = [];
    for (const item of imputer.terms) {
      const value = values[item.term];
      if (value === null || value === undefined) missing.push(item);
      item.columns.forEach(function (name, k) {
        let cell = item.start[k];
        if (value !== null && value !== undefined) {
          if (item.kind === "logistic") cell = value === k + 1 ? 1 : 0;
          else cell = item.transform === "ln" ? Math.log(value) : value;
        }
        design[place.get(name)] = cell;
      });
    }
    for (let sweep = 0; missing.length && sweep < imputer.sweeps; sweep++) {
      for (const item of missing) {
        const own = item.columns.map((name) => place.get(name));
        const others = design.map((_, j) => j).filter((j) => !own.includes(j));
        const mean = own.map((_, k) => others.reduce((sum, j, i) => sum + design[j] * item.model.coef[k][i], 0)
          + item.model.intercept[k]);
        if (item.kind === "linear") {
          design[own[0]] = Math.min(Math.max(mean[0], item.low), item.high);
        } else {
          const odds = mean.map((value) => Math.exp(Math.min(Math.max(value, -500), 500)));
          const whole = 1 + odds.reduce((sum, value) => sum + value, 0);
          own.forEach((j, k) => { design[j] = odds[k] / whole; });
        }
      }
    }
    return (name) => design[place.get(name)];
  }

  function step(part, months) { // right-continuous, 1 before the first time
    let value = 1;
    for (let i = 0; i < part.time.length && part.time[i] <= months; i++) value = part.survival[i];
    return value;
  }

  // Cumulative incidence at every time, from two cause-specific hazards: recur.statistics.competing.cause_specific_incidence.
  function incidence(own, other, lp, lpOther) {
    const times = [...new Set([...own.time, ...other.time])].sort((a, b) => a - b);
    let free = 1, grown = 0, before = [0, 0];
    return times.map(function (time) {
      const now = [own, other].map((part) => -Math.log(step(part, time)));
      const steps = now.map((value, i) => value - before[i]);
      before = now;
      const mine = Math.exp(lp) * steps[0], both = mine + Math.exp(lpOther) * steps[1];
      grown += free * mine / Math.max(both, 1);
      free *= 1 - Math.min(both, 1);
      return [time, grown];
    });
  }

  // Column by column from the first, as recur.statistics.linear_predictor.linear_sum: patients at a cut-point stay on their side.
  // One part of a restricted cubic spline: recur.statistics.splines.restricted_cubic_spline.
  function spline(x, knots, part) {
    if (part === 0) return x;
    const k = knots.length, last = knots[k - 1], before = knots[k - 2], own = knots[part - 1], gap = last - before;
    const cube = (knot) => Math.pow(Math.max(x - knot, 0), 3);
    return (cube(own) - cube(before) * (last - own) / gap + cube(last) * (before - own) / gap)
      / Math.pow(last - knots[0], 2);
  }

  function columnValue(column, filled, score) { // recur.predict.design.column_values
    if (column.kind === "signature") return score;
    if (column.parts) return column.parts.reduce((product, part) => product * columnValue(part, filled, score), 1);
    return column.knots ? spline(filled(column.term), column.knots, column.part) : filled(column.name);
  }

  // The stratum of a patient, undefined where it is missing or training had none such: recur.predict.strata.
  function stratumOf(model, values) {
    return model.strata.levels.find((level) => level.codes.every((code, i) => code === values[model.strata.terms[i]]));
  }

  // The model with the baseline and follow-up of the patient's stratum, and what this adds to the linear predictor.
  function ofStratum(model, values) {
    if (!model.strata) return [model, 0];
    const level = stratumOf(model, values);
    const competing = model.competing && { ...model.competing, baseline: level.competing };
    return [{ ...model, baseline: level, last_month: level.last_month, no_risk: level.no_risk, competing }, level.offset];
  }

  function predictor(terms, filled, score) {
    const x = terms.map((column) => columnValue(column, filled, score));
    const away = x.map((value, j) => value - terms[j].mean);
    return { x, away, lp: away.reduce((sum, value, j) => sum + terms[j].coef * value, 0) };
  }

  // Everything that is shown of one patient. values: term -> number or null, in the unit of the input.
  function apply(whole, values) {
    const [model, offset] = ofStratum(whole, values);
    const filled = complete(model.imputer, values), score = values.signature;
    const { x, away, lp: within } = predictor(model.terms, filled, score), lp = within + offset;
    const variance = away.reduce((sum, a, i) => sum
      + away.reduce((inner, b, j) => inner + a * model.covariance[i][j] * b, 0), 0);
    const half = Z95 * Math.sqrt(Math.max(variance, 0)), limits = [lp, lp - half, lp + half];
    const other = model.competing && predictor(model.competing.terms, filled, score).lp;
    const curves = model.competing
      && limits.map((value) => incidence(model.baseline, model.competing.baseline, value, other));
    function risk(months, which) {
      if (model.intercept !== null) return 1 / (1 + Math.exp(-(model.intercept + limits[which])));
      if (months > model.last_month) return null;
      if (!model.competing) return 1 - Math.pow(step(model.baseline, months), Math.exp(limits[which]));
      const reached = curves[which].filter((point) => point[0] <= months);
      return reached.length ? reached[reached.length - 1][1] : 0;
    }
    const group = model.cutpoint === null ? "all" : lp > model.cutpoint ? "high" : "low";
    return { x, lp, limits, risk, group, offset, model };
  }

  // ---- the inputs

  function element(name, attributes, ...children) {
    const made = /^(svg|g|line|path|text|circle)$/.test(name)
      ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const required = (field) => field.required === true; // never filled in

  const shown = (field, value) => field.options.length ? field.options[value] : number(value);

  function input(field, i) {
    const id = `input-${i}`, unit = field.unit ? `, ${field.unit}` : "";
    const about = { id, "data-term": field.term, "aria-describedby": `${id}-hint ${id}-remark` };
    let control;
    if (field.options.length) {
      control = element("select", about, element("option", { value: "" }, "unknown"));
      field.options.forEach((name, code) => control.append(element("option", { value: code }, name)));
    } else {
      control = element("input", { ...about, type: "number", step: "any", inputmode: "decimal" });
    }
    control.value = kept.get(`${model.analysis} ${field.term}`) || "";
    const all = field.low === 0 && field.high === field.options.length - 1;
    let hint = all ? "" : `Training range ${shown(field, field.low)} to ${shown(field, field.high)}`;
    if (field.kind === "signature") hint += "; the score that the scorer gives, needed";
    else if (required(field)) hint = "Needed: it chooses the baseline risk";
    else if (!field.options.length) hint += "; empty if unknown";
    return element("div", { class: "field" }, element("label", { for: id }, field.label + unit), control,
      element("span", { class: "hint", id: `${id}-hint` }, hint), element("span", { class: "remark", id: `${id}-remark` }));
  }

  // One field as [value or null, refusal or "", remark or ""].
  function read(field, control) {
    if (control.validity.badInput) return [null, "is not a number", ""];
    if (control.value === "") {
      if (field.kind === "signature") return [null, "is needed: a score is never filled in", ""];
      if (required(field)) return [null, "is needed: a baseline risk is never filled in", ""];
      return [null, "", field.used ? "unknown: filled in by the model's imputer" : ""];
    }
    let value = Number(control.value);
    if (field.range && (value < field.range[0] || value > field.range[1])) {
      return [null, `is outside the plausible range, ${number(field.range[0])} to ${number(field.range[1])}`, ""];
    }
    if (field.floor !== null) value = Math.max(value, field.floor);
    if (field.transform === "ln" && value <= 0) return [null, "must be above 0", ""];
    const inside = value >= field.low && value <= field.high;
    return [value, "", inside ? "" : "outside the training range: the risk is extrapolated"];
  }

  function choose() {
    model = models[find("model").value];
    const used = [], unused = [];
    model.fields.forEach((field, i) => (field.used ? used : unused).push(input(field, i)));
    find("used").replaceChildren(...(used.length ? used : ["None: everyone has the same risk."]));
    find("unused").replaceChildren(...unused);
    find("others").hidden = !unused.length;
    find("about").replaceChildren(...model.about.map((text) => element("li", {}, text)));
    find("without").textContent = "The interval holds the uncertainty of the coefficients only. Not in it: "
      + `${model.without.join("; ")}.`;
    update();
  }

  function update() {
    const values = {}, problems = [], remarks = [];
    let known = 0, usable = 0;
    model.fields.forEach(function (field, i) {
      const control = find(`input-${i}`), [value, refusal, remark] = read(field, control);
      kept.set(`${model.analysis} ${field.term}`, control.value);
      values[field.term] = value;
      if (refusal) problems.push(`${field.label} ${refusal}.`);
      if (remark && field.used) remarks.push(`${field.label} ${remark}.`);
      usable += field.used;
      known += field.used && value !== null;
      const empty = required(field) && control.value === "";
      control.setAttribute("aria-invalid", refusal && !empty ? "true" : "false");
      const line = find(`input-${i}-remark`);
      line.textContent = empty ? "" : refusal || remark;
      line.classList.toggle("error", Boolean(refusal));
    });
    if (!problems.length && model.strata && !stratumOf(model, values)) {
      problems.push("No risk: the model was fitted without such patients (stratum).");
    }
    if (!problems.length && usable && !known) problems.push("Enter at least one input of the equation.");
    find("message").textContent = problems.join(" ");
    find("numbers").hidden = find("pictures").hidden = problems.length > 0;
    if (!problems.length) show(apply(model, values), values, remarks);
  }

  // ---- the result

  function data(value, text) {
    return value === null ? "none" : element("data", { value }, text(value));
  }

  function show(result, values, remarks) {
    const horizons = model.intercept === null ? model.horizons_months : [null]; // a logistic model has no time
    find("risks").replaceChildren(...horizons.map(function (months) {
      const [risk, low, high] = [0, 1, 2].map((which) => result.risk(months, which));
      const limits = risk === null ? [] : [data(low, percent), " to ", data(high, percent)];
      const when = months === null ? "the outcome" : `${number(months)} months`;
      return element("tr", { "data-months": months === null ? "" : months }, element("th", { scope: "row" }, when),
        element("td", { class: "n" }, data(risk, percent)), element("td", { class: "n" }, ...limits));
    }));
    const lp = element("data", { id: "lp", value: result.lp }, result.lp.toFixed(3));
    const words = { low: "low risk", high: "high risk", all: "the model has no cut-point" };
    const cut = model.cutpoint === null ? "" : `; cut-point ${model.cutpoint.toFixed(3)}`;
    find("group").replaceChildren("Risk group: ",
      element("data", { id: "of-group", value: result.group }, words[result.group]), " (linear predictor ", lp, `${cut}).`);
    if (model.cutpoint !== null && (result.limits[1] > model.cutpoint) !== (result.limits[2] > model.cutpoint)) {
      remarks.push("The interval crosses the cut-point: the group is uncertain.");
    }
    if (result.lp < model.lp_range[0] || result.lp > model.lp_range[1]) {
      remarks.push("No training patient had a linear predictor so extreme.");
    }
    for (const [months, why] of Object.entries(result.model.no_risk)) {
      remarks.push(`No risk by ${months} months: ${why}.`);
    }
    find("remarks").replaceChildren(...remarks.map((text) => element("li", { class: "remark" }, text)));
    find("risk-head").textContent = model.intercept === null ? "Risk by" : "Risk of";
    find("course").hidden = model.intercept !== null || !result.model.last_month;
    if (!find("course").hidden) drawCurve(result);
    showPoints(result, values);
  }

  function drawCurve(result) {
    const svg = find("curve"), width = Math.max(svg.clientWidth, 260), height = 240, left = 44, bottom = 40, top = 10;
    const model = result.model; // of the patient's stratum
    const end = model.last_month, value = (risk) => model.competing ? risk : 1 - risk;
    const x = (months) => left + months / end * (width - left - 12);
    const y = (share) => top + (1 - share) * (height - top - bottom);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const parts = [];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      parts.push(element("line", { class: "grid", x1: left, x2: width - 12, y1: y(share), y2: y(share) }),
        element("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`));
    }
    const gap = [6, 12, 24, 36, 60].find((months) => end / months * 40 < width - left) || 120;
    for (let months = 0; months <= end; months += gap) {
      parts.push(element("line", { class: "axis", x1: x(months), x2: x(months), y1: y(0), y2: y(0) + 4 }),
        element("text", { x: x(months), y: y(0) + 17, "text-anchor": "middle" }, number(months)));
    }
    parts.push(element("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "months"));
    const other = model.competing ? model.competing.baseline.time : [];
    const times = [0, ...new Set([...model.baseline.time, ...other])].filter((time) => time <= end).sort((a, b) => a - b);
    times.push(end);
    const along = (which) => times.map((time) => [x(time), y(value(result.risk(time, which)))]);
    const stairs = (points) => points.map((point, i) => i ? `H${point[0].toFixed(2)}V${point[1].toFixed(2)}` : point
      .map((part) => part.toFixed(2)).join(" ")).join("");
    const lower = along(1), upper = along(2);
    parts.push(element("path", { class: "band", d: `M${stairs(lower)}${backwards(upper)}Z` }),
      element("path", { class: "curve", d: `M${stairs(along(0))}` }),
      element("path", { class: "axis", d: `M${left} ${top}V${y(0)}H${width - 12}` }));
    svg.replaceChildren(...parts);
    const what = model.competing ? "Cumulative incidence" : "Share still free of the event";
    find("curve-text").textContent = `${what} (${model.endpoint}) over the training follow-up, with the 95 % interval `
      + "of the coefficients.";
  }

  function backwards(points) { // the stairs of `points`, from the last to the first
    let path = `L${points[points.length - 1].map((part) => part.toFixed(2)).join(" ")}`;
    for (let i = points.length - 2; i >= 0; i--) path += `V${points[i][1].toFixed(2)}H${points[i][0].toFixed(2)}`;
    return path;
  }

  function showPoints(result, values) {
    const scale = model.nomogram;
    find("points").hidden = !scale;
    if (!scale) return;
    // a group without a column is that of the strata
    const effects = scale.groups.map((group) => group.columns.length
      ? group.columns.reduce((sum, j) => sum + model.terms[j].coef * result.x[j], 0) : result.offset);
    const points = effects.map((value, i) => (value - scale.groups[i].lowest) * scale.points_per_lp);
    const total = points.reduce((sum, value) => sum + value, 0);
    const rows = scale.groups.map(function (group, i) {
      const [label, text] = group.columns.length ? entered(group.columns, values)
        : ["Stratum", stratumOf(model, values).stratum];
      return element("tr", {}, element("td", {}, label), element("td", {}, text),
        element("td", { class: "n" }, element("data", { value: points[i] }, points[i].toFixed(1))));
    });
    rows.push(element("tr", {}, element("th", { scope: "row" }, "Total"), element("td"),
      element("td", { class: "n" }, element("data", { id: "total", value: total }, total.toFixed(1)))));
    find("terms").replaceChildren(...rows);
    drawNomogram(scale, points, total, values);
  }

  // The names and values of what is entered for some columns of the model.
  function entered(places, values) {
    const columns = places.map((j) => model.terms[j]);
    const first = columns.filter((column, i) => !column.parts && !column.part
      && columns.findIndex((other) => other.term === column.term) === i);
    const texts = first.map(function (column) {
      const field = model.fields.find((field) => field.term === column.term), value = values[column.term];
      if (value === null) return "filled in";
      return columns.length === 1 && column.level !== null ? (value === column.level ? "yes" : "no") : shown(field, value);
    });
    const label = (column) => columns.length === 1 ? column.label
      : model.fields.find((field) => field.term === column.term).label;
    return [first.map(label).join(", "), texts.join(", ")];
  }

  function drawNomogram(scale, points, total, values) {
    const svg = find("nomogram"), width = Math.max(svg.clientWidth, 260), left = 16, high = 52;
    svg.setAttribute("viewBox", `0 0 ${width} ${high * (scale.axes.length + 1)}`);
    const parts = [];
    const own = { label: "Points", kind: "term", ticks: [0, 20, 40, 60, 80, 100].map((value) => [String(value), value]) };
    [own, ...scale.axes].forEach(function (axis, row) {
      const reach = axis.kind === "term" ? 100 : scale.max_points;
      const x = (value) => left + Math.min(Math.max(value / reach, 0), 1) * (width - 2 * left), y = high * row + 24;
      const at = axis.ticks.map((tick) => tick[1]);
      parts.push(element("text", { x: 0, y: y - 9, "font-weight": 600 }, axis.label),
        element("line", { class: "axis", x1: x(Math.min(...at)), x2: x(Math.max(...at)), y1: y, y2: y }));
      let free = -Infinity;
      for (const [text, value] of axis.ticks.slice().sort((a, b) => a[1] - b[1])) {
        parts.push(element("line", { class: "axis", x1: x(value), x2: x(value), y1: y, y2: y + 4 }));
        const half = 3.8 * text.length, middle = Math.min(Math.max(x(value), half), width - half);
        if (middle - half < free) continue; // a label that would touch the one before
        free = middle + half + 4;
        parts.push(element("text", { x: middle, y: y + 16, "text-anchor": "middle" }, text));
      }
      const own = axis.given && Object.entries(axis.given).every(([term, value]) => values[term] === value);
      const mark = axis.axis === "total" ? total : own ? points[axis.group] : null;
      if (mark !== null) parts.push(element("circle", { class: "mark", cx: x(mark), cy: y, r: 5 }));
    });
    svg.replaceChildren(...parts);
  }

  find("model").addEventListener("change", choose);
  document.querySelector("form").addEventListener("input", (event) => { if (event.target.id !== "model") update(); });
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  find("clear").addEventListener("click", function () {
    kept.clear();
    document.querySelectorAll("[data-term]").forEach((control) => { control.value = ""; });
    update();
  });
  addEventListener("resize", update);
  choose();
});
