"""Pictures that were drawn a moment ago: the page asks for the same one small, whole and compared with others."""

import threading
from collections import OrderedDict

from PIL import Image

from gansteer.subject import Subject, to_image

MOST = 16
"""Pictures that are kept. A subject that kept its own would keep it as long as the history, for every entry."""


class Pictures:
    """The pictures of the subjects that were asked for last. May be used on any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Subject, Image.Image] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, subject: Subject) -> Image.Image:
        """The picture of a subject, as `subject.image`. It is not to be changed."""
        with self._lock:
            found = self._kept.pop(subject, None)
        picture = to_image(subject.render()) if found is None else found
        with self._lock:
            self._kept[subject] = picture
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return picture
