"""Draw the fifty captions by which chapter 11's model is judged, from their seeds.

python tools/fifty_captions.py    # prints what book/weights/fifty_captions.txt has

A caption says two to five things, and each can be seen in nearly all faces that have what it says: nobody is
asked for short hair under a cap.
"""

from torch import Generator

from diffusion_lib.data.captions import ATTRIBUTES, captions_of, wishes
from diffusion_lib.data.faces import describe_faces, face_parts
from diffusion_lib.measure.judge import visible


def fifty_captions() -> list[str]:
    """The fifty, in the order in which they were drawn."""
    generator, found = Generator().manual_seed(50), []
    pool = face_parts(4000, Generator().manual_seed(51))
    faces, seen = describe_faces(pool), visible(pool).double()
    for line in captions_of(face_parts(600, generator), 0.6, generator):
        asked = wishes(line)
        fit = [i for i, face in enumerate(faces) if asked.items() <= face.items()]
        if not 2 <= len(asked) <= 5 or line in found or not fit:
            continue
        share = dict(zip(ATTRIBUTES, seen[fit].mean(dim=0).tolist(), strict=True))
        if all(share[part] >= 0.95 for part in asked):
            found.append(line)
    return found[:50]


if __name__ == "__main__":
    print("\n".join(fifty_captions()))
