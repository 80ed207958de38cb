"""The words of machine learning and of searches, which whoever keeps a machine running need not know."""

import re
from pathlib import Path

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"

TERMS = {  # as a text may have it: the entry of the glossary that explains it
    r"pseudo-Ω": "pseudo-Omega",
    r"(?<!pseudo-)Ω": "Omega",
    r"pAUC": "pAUC",
    r"\bAUC": "AUC",
    r"cross-fitted": "cross-fitted",
    r"calibrat\w+": "calibration",
    r"\bcandidates?": "candidate",
    r"\bchampion": "champion",
    r"\bclass(es)?\b": "class",
    r"conformal": "conformal",
    r"\bembeddings?": "embedding",
    r"\bepochs?\b": "epoch",
    r"family\b|families": "family",
    r"\bfusion": "fusion",
    r"\bheads?\b": "head",
    r"Kish": "as good as",
    r"\bledger": "ledger",
    r"\bmel\b": "mel band",
    r"\bmembers?\b": "member",
    r"n_fft": "n_fft",
    r"objective": "objective",
    r"probes?\b": "probes",
    r"pruned": "pruned",
    r"quantile": "conformal",
    r"references?\b": "reference",
    r"\brungs?\b": "rung",
    r"score types?": "score type",
    r"\bseeds?\b": "seed",
    r"sigma2|beta_class|\bmu\b": "mu, sigma2, beta_class",
    r"\btrials?\b|\d\+\d\+\d": "trial",
}


def terms_in(text: str) -> set[str]:
    """The entries of the glossary for the terms in a text."""
    return {entry for term, entry in TERMS.items() if re.search(term, text)}


def explained() -> set[str]:
    """The entries that the glossary has."""
    return set(re.findall(r"^### (.+)$", GLOSSARY.read_text(), flags=re.MULTILINE))
