"""`gansteer evaluate trackers`."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gansteer.bars import bar
from gansteer.commands.evaluate import SampleEvaluation
from gansteer.commands.evaluate_drags import print_aligned

if TYPE_CHECKING:
    from gansteer.evaluation.drags.trackers import TrackersReport
    from gansteer.subject import Model


@dataclass(frozen=True, kw_only=True)
class Trackers(SampleEvaluation):
    """Trackers by themselves: do they say where the points of a face went while its latent walked towards another?"""

    walks: int = 50
    """How many walks between samples."""
    steps: int = 12
    """Pictures of every walk."""
    strength: float = 0.4
    """How far each goes, as a share of the way to the other sample."""
    trackers: tuple[str, ...] = ()
    """Which; by default all that are installed."""

    def measure(self, model: "Model") -> "TrackersReport":
        from gansteer.checkpoints.readers import FACES
        from gansteer.edits.drag.trackers import check_tracker
        from gansteer.errors import UserError
        from gansteer.evaluation.drags.judge import reading
        from gansteer.evaluation.drags.trackers import followed, named

        trackers = named(self.trackers, model, radius=max(6.0, 12 * model.resolution / 512))
        for name in list(trackers):
            try:
                check_tracker(name, model)
            except UserError as error:
                if self.trackers:
                    raise
                print(f"{name} is left out: {error}", file=sys.stderr)
                del trackers[name]
        with bar("walking") as report:
            return followed(
                model, reading(FACES.load(model.device)), trackers, self.walks,
                strength=self.strength, steps=self.steps, psi=self.psi, seed=self.seed, report=report,
            )  # fmt: skip

    def tell(self, found: "TrackersReport") -> None:
        limits = tuple(found.rows[0].within)
        rows = []
        for row in sorted(found.rows, key=lambda row: row.error[0]):
            mean, low, high = row.error
            shares = [f"{row.within[limit]:.0%}" for limit in limits]
            rows.append((row.tracker, f"{mean:.2f} [{low:.2f}, {high:.2f}]", f"{row.median:.2f}", *shares))
        print_aligned(("", "mean error, px", "median", *(f"within {limit}" for limit in limits)), rows)
        print(
            f"68 landmarks of {found.walks} walks of {found.model}, {found.steps} pictures each, which move them by "
            f"{found.motion:.2f} px; features of {found.layer}; lengths within are of a picture of 128 px"
        )
