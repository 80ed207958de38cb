"""Small folders of score files, decisions and truth, as a team writes them."""

import csv

import numpy as np

from humtune.dcase.files import write_file

CELLS = [(d, y) for d in ("source", "target") for y in ("normal", "anomaly")]


class Team:
    """Writes the files of one team into a folder, with scores that are noise plus some skill."""

    def __init__(self, folder):
        self.folder = folder / "team"
        self.truth = folder / "truth"

    def score(self, machine="fan", section=0, *, per_cell=10, hidden=False, decisions=False):
        """Write one section's files, and its truth where the names hide the labels."""
        clips = [(d, y) for d, y in CELLS for _ in range(per_cell)]
        label = np.array([y == "anomaly" for _, y in clips])
        target = np.array([d == "target" for d, _ in clips])
        names = [
            f"section_{section:02d}_{i:04d}.wav"
            if hidden
            else f"section_{section:02d}_{d}_test_{y}_{i:04d}_a_1.wav"
            for i, (d, y) in enumerate(clips)
        ]
        rng = np.random.default_rng([section, len(machine)])
        scores = np.round(rng.normal(size=len(clips)) + 0.8 * label - 0.3 * target, 1)  # with ties
        place = {"machine": machine, "section": section, "names": names}
        write_file(self.folder, "anomaly_score", values=scores, **place)
        if decisions:
            write_file(self.folder, "decision_result", values=scores > 0.5, **place)
        if hidden:
            self.tell(machine, section, names, label, "data")
            self.tell(machine, section, names, target, "domain")
        return names, label, target, scores

    def tell(self, machine, section, names, values, kind):
        path = self.truth / f"ground_truth_{kind}" / f"ground_truth_{machine}_section_{section:02d}_test.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows(zip(names, map(int, values), strict=True))

    def edit(self, name, change):
        """Change the lines of one file."""
        path = self.folder / name
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
