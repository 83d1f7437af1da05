// Stills give way to interactive figures; a figure is drawn when it comes near the window.
document.documentElement.classList.add("scripted");
const draw = (source) => {
  const { data, layout } = JSON.parse(source.textContent);
  const place = document.getElementById(source.dataset.for);
  Plotly.newPlot(place, data, layout, {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: source.dataset.for },
  });
};
const near = new IntersectionObserver(
  (entries) =>
    entries
      .filter((entry) => entry.isIntersecting)
      .forEach((entry) => {
        near.unobserve(entry.target);
        draw(document.querySelector(`script[data-for="${entry.target.id}"]`));
      }),
  { rootMargin: "800px" },
);
document.querySelectorAll(".interactive").forEach((place) => near.observe(place));

// What is folded away is printed all the same.
addEventListener("beforeprint", () =>
  document.querySelectorAll("details").forEach((details) => (details.open = true)),
);
