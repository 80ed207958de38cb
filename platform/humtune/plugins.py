"""Parts of a detector by the names that a space calls them, imported only when they are named.

A name is one of humtune's own, one that an installed package has declared as an entry point, or the place of
a class outside: `package.module:Class`. An entry point of the group `humtune.heads` is a head, and so on:

    [project.entry-points."humtune.heads"]
    my_head = "mypackage.heads:MyHead"
"""

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

FAMILY, FRONTEND, BACKBONE, HEAD, SCORE = "family", "frontend", "backbone", "head", "score"

GROUPS = {
    FAMILY: "humtune.families",
    FRONTEND: "humtune.frontends",
    BACKBONE: "humtune.backbones",
    HEAD: "humtune.heads",
    SCORE: "humtune.scores",
}

_CLASSIFIER = "humtune.detectors.classifier"

BASES = {  # what a class from outside is one of
    FAMILY: ("humtune.detectors.recipe:Recipe",),
    FRONTEND: ("humtune.detectors.frontends:Frontend",),
    BACKBONE: (f"{_CLASSIFIER}.backbones:Backbone",),
    HEAD: (f"{_CLASSIFIER}.heads:Head",),
    SCORE: ("humtune.scores.base:Score", "humtune.scores.base:JointScore"),
}

BUILT_IN: dict[str, dict[str, str]] = {
    FAMILY: {
        "classifier": f"{_CLASSIFIER}.recipe:Classifier",
        "autoencoder": "humtune.detectors.autoencoder:Autoencoder",
        "vae": "humtune.detectors.vae:Vae",
        "flow": "humtune.detectors.flow:Flow",
        "made": "humtune.detectors.made:Made",
        "gaussian_mixture": "humtune.detectors.gaussian_mixture:GaussianMixture",
        "pretrained": "humtune.detectors.pretrained.recipe:Pretrained",
        "distilled": "humtune.detectors.distilled:Distilled",
        "noop": "humtune.detectors.noop:Noop",
    },
    FRONTEND: {
        "spectrogram": "humtune.detectors.frontends:Spectrogram",
        "waveform": "humtune.detectors.waveform:Waveform",
        "raw_waveform": "humtune.detectors.waveform:RawWaveform",
        "spectrogram_and_waveform": "humtune.detectors.waveform:SpectrogramAndWaveform",
        "multiresolution": "humtune.detectors.multiresolution:Multiresolution",
    },
    BACKBONE: {
        "mobilefacenet": f"{_CLASSIFIER}.backbones:MobileFaceNet",
        "stgram": f"{_CLASSIFIER}.stgram:STgram",
        "xvector": f"{_CLASSIFIER}.tdnn:XVector",
        "wavenet": f"{_CLASSIFIER}.tdnn:WaveNet",
        "se_resnet": f"{_CLASSIFIER}.se_resnet:SEResNet",
        "branches": f"{_CLASSIFIER}.branches:Branches",
        "pretrained": f"{_CLASSIFIER}.pretrained:PretrainedBackbone",
    },
    HEAD: {
        "variational": f"{_CLASSIFIER}.heads:VariationalHead",
        "cross_entropy": f"{_CLASSIFIER}.heads:CrossEntropyHead",
        "arcface": f"{_CLASSIFIER}.heads:ArcFaceHead",
        "asymmetric": f"{_CLASSIFIER}.multilabel:AsymmetricHead",
        "attributes": f"{_CLASSIFIER}.multilabel:AttributeHead",
        "exposure": f"{_CLASSIFIER}.exposure:ExposureHead",
        "adacos": f"{_CLASSIFIER}.adacos:AdaCosHead",
        "adaproj": f"{_CLASSIFIER}.adaproj:AdaProjHead",
    },
    SCORE: {
        "cosine": "humtune.scores.distances:Cosine",
        "nll": "humtune.scores.distances:NegativeLogLikelihood",
        "knn": "humtune.scores.neighbours:NearestNeighbours",
        "knn_normalised": "humtune.scores.neighbours:NormalisedNeighbours",
        "lof": "humtune.scores.neighbours:LocalOutlierFactor",
        "mahalanobis": "humtune.scores.mahalanobis:Mahalanobis",
        "mahalanobis_class": "humtune.scores.mahalanobis:ClassMahalanobis",
        "gmm": "humtune.scores.mixture:Mixture",
        "neg_logit": "humtune.scores.logits:NegativeLogit",
        "neg_log_prob": "humtune.scores.logits:NegativeLogProbability",
        "own": "humtune.scores.own:Own",
        "fusion": "humtune.scores.fusion:FusionScore",
    },
}


def find(what: str, name: Any) -> type[Any]:
    """The class of a family, front end, backbone, head or score; a ValueError that says what there is.

    What an import outside raises comes as a ValueError too, with its own words.
    """
    place = BUILT_IN[what].get(name) if isinstance(name, str) else None
    if place is not None:
        return _imported(place)  # type: ignore[no-any-return]
    place = _outside(what, name)
    try:
        found = _imported(place)
    except Exception as error:  # whatever a module of someone else raises
        raise ValueError(f"{what} {name!r} can't be imported: {error}") from error
    if not isinstance(found, type):
        attribute = place.partition(":")[2]
        raise ValueError(f"{what} {name!r} should be a class, {attribute} is {type(found).__name__}")
    if not issubclass(found, tuple(_imported(base) for base in BASES[what])):
        bases = " or ".join(BASES[what])
        raise ValueError(f"{what} {name!r} should be a subclass of {bases}")
    return found


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def names(what: str) -> list[str]:
    """The names that a space can call: humtune's own and those of installed packages."""
    return [*BUILT_IN[what], *(point.name for point in entry_points(group=GROUPS[what]))]


def _outside(what: str, name: Any) -> str:
    if isinstance(name, str):
        module, colon, attribute = name.partition(":")
        if colon and attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")):
            return name
        for point in entry_points(group=GROUPS[what], name=name):
            return point.value
    there = ", ".join(names(what))
    raise ValueError(f"there is no {what} {name!r}; there are {there}, and package.module:Class of yours")
