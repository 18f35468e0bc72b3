"""What makes a picture of a face good enough to compare, and the word that helps a person to make it so.

Plain numbers alone: the measuring is `engine`'s, in its own process. Figures were found on portraits and on 32 to
200 px wide faces cut from them; what they buy is in docs/faces.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Words for the screen (see ports.FaceVerifier)
CLOSER = "closer"
ONE_PERSON = "one_person"
HOLD_STILL = "hold_still"
MORE_LIGHT = "more_light"
LOOK_HERE = "look_here"

FACE_SCORE = 0.8  # the detector's own certainty
FOUND_SCORE = 0.6  # from here somebody may be there: enough to be a second person
FACE_WIDTH_PX = 80.0  # narrower ones bring impostors closer to the threshold
SECOND_WIDTH = 0.5  # somebody further away than this, as a part of the first one's width, is not at the machine
SHARPNESS = 60.0  # variance of the Laplacian of the aligned face
DARK_SCENE = 40.0  # mean grey level of a picture in which no face is found
DARK_FACE = 45.0  # mean grey level of the aligned face
FRONTAL = 0.35  # of `Face.nose`: further off is a turned head


@dataclass(frozen=True, slots=True)
class Face:
    """The largest face of a picture, in pixels.

    `nose` says where the tip of the nose is between eyes and corners of the mouth: 0 in the middle, 1 on the
    person's left edge of that square, measured so that tilting or turning a flat picture does not change it.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    nose: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame shows. `word` is '' where its face can be compared; `vector` of length 1, where there is one."""

    refused: str = ""  # the frame is no picture
    word: str = ""
    face: Face | None = None
    vector: tuple[float, ...] = field(default=(), repr=False)
    digest: bytes = field(default=b"", repr=False)  # of all pixels
    thumb: bytes = field(default=b"", repr=False)  # the picture's grey levels, made small

    @property
    def comparable(self) -> bool:
        """Has a vector: everything but the head's pose is as it should be."""
        return bool(self.vector)

    @property
    def frontal(self) -> bool:
        return self.face is not None and abs(self.face.nose) <= FRONTAL


def crowd(widths: tuple[float, ...]) -> bool:
    """Whether more than one person is at the machine; widths of all faces, widest first."""
    return len(widths) > 1 and widths[1] >= SECOND_WIDTH * widths[0]


def before_alignment(face: Face | None, widths: tuple[float, ...], scene: float) -> str:
    """The word for what the detector found; '' where the face is worth aligning."""
    if face is None:
        return MORE_LIGHT if scene < DARK_SCENE else LOOK_HERE
    if crowd(widths):
        return ONE_PERSON
    if face.width < FACE_WIDTH_PX:
        return CLOSER
    if face.score < FACE_SCORE:
        return MORE_LIGHT if scene < DARK_SCENE else LOOK_HERE
    return ""


def after_alignment(brightness: float, sharpness: float) -> str:
    """The word for an aligned face; '' where it is worth a vector. Darkness first: it blurs, too."""
    if brightness < DARK_FACE:
        return MORE_LIGHT
    if sharpness < SHARPNESS:
        return HOLD_STILL
    return ""
