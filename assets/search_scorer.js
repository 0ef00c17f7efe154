// How Sphinx's search ranks what it found: chapters and the glossary before the names of the library,
// and first the chapter whose file is called as the question.
const CALLED = { "σ": "scale", sigma: "scale", bandwidth: "scale", "neural tangent kernel": "ntk" };
var Scorer = {
  objNameMatch: 4,
  objPartialMatch: 2,
  objPrio: { 0: 3, 1: 1, 2: -5 },
  objPrioDefault: 0,
  title: 20,
  partialTitle: 12,
  term: 5,
  partialTerm: 2,
  score: ([docname, title, anchor, descr, score, filename]) => {
    const query = (new URLSearchParams(location.search).get("q") || "").trim().toLowerCase();
    const asked = CALLED[query] || query.replaceAll("_", " ").replaceAll("-", " ");
    const last = (path, by) => path.split(by).pop().toLowerCase().replaceAll("_", " ");
    if (docname.startsWith("book/reference/api"))
      return score + (title.startsWith("fflib.") && last(title, ".") === asked ? 30 : -3);
    return score + (last(docname, "/") === asked ? 40 : 0);
  },
};
