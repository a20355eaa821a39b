"""`gansteer evaluate trackers`."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gansteer.commands.evaluate import SampleEvaluation, usable
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
        from gansteer.edits.drag.trackers import check_tracker
        from gansteer.evaluation.drags.trackers import followed, named, of_faces

        known = named(self.trackers, model)
        here = usable(known, lambda name, _: check_tracker(name, model), asked=bool(self.trackers))
        return followed(
            model, of_faces, partial(named, tuple(here)), self.walks, strength=self.strength, steps=self.steps,
            psi=self.psi, seed=self.seed, share=self.share(model, "walking"),
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
