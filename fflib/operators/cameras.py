r"""Cameras and the pictures they took: poses, rays, and views of a scene.

A pose is a matrix (4, 4) that takes a point from the camera's frame to the world's. Cameras follow
the convention of OpenGL and Blender: x to the right, y up, looking along −z. A lens is a focal
length f in pixels, or the four numbers (f_x, f_y, c_x, c_y) of a camera whose axis meets the
picture c_x pixels from its left and c_y from its upper edge; f alone means the middle.
"""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from fflib import checks


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Views:
    """Pictures of one scene and the cameras that took them; ``views[:9]`` keeps the first nine.

    Images (n, H, W, 3) in [0, 1], on black; poses (n, 4, 4), camera to world; lens (n, 4): f_x,
    f_y, c_x, c_y of every camera in pixels; near and far: distances along a ray between which the
    scene lies. Chapter: Radiance fields.
    """

    images: jax.Array
    poses: jax.Array
    lens: jax.Array
    near: float = dataclasses.field(default=2.0, metadata=dict(static=True))
    far: float = dataclasses.field(default=6.0, metadata=dict(static=True))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which) -> "Views":
        kept = np.atleast_1d(np.arange(len(self))[which])
        parts = {k: getattr(self, k)[kept] for k in ("images", "poses", "lens")}
        return dataclasses.replace(self, **parts)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.images.shape[1], self.images.shape[2]


def views(
    images, poses, lens, near: float = 2.0, far: float = 6.0, *, alpha: str = "premultiplied"
) -> Views:
    """Checked :class:`Views` of pictures on black.

    Images are (n, H, W, 3), or with opacity last (n, H, W, 4), in [0, 1] or bytes; colours are
    "premultiplied" by their opacity or, as in files, "straight". ``lens`` is f, or (4,) for all
    cameras, or (n, 4). Raises: ValueError for other shapes or numbers of poses, values outside
    [0, 1], colours above their opacity that are said to be premultiplied, poses that are no
    rotations, a lens or distances that make no sense. Warns when most cameras look away from what
    the others see. Chapter: Radiance fields.
    """
    images, poses = np.asarray(checks.as_array("images", images)), check_poses(poses)
    right = images.ndim == 4 and images.shape[-1] in (3, 4) and images.size
    checks.must(right, "images", "have shape (n, H, W, 3) or (n, H, W, 4)", images.shape)
    images = images.astype(np.float32) / 255 if images.dtype == np.uint8 else images
    low, high = checks.finite("images", images).min(), images.max()
    right = low >= -1e-6 and high <= 1 + 1e-6  # averages of 1 come out as that
    checks.must(right, "images", "lie in [0, 1]", f"{low:.3g} to {high:.3g}")
    checks.shaped("poses", poses, (len(images), 4, 4))
    right = 0 <= near < far < np.inf
    checks.must(right, "near and far", "satisfy 0 <= near < far", f"{near} and {far}")
    lens = _lenses(lens, *images.shape[1:3], (4,), (len(images), 4))
    lens = jnp.broadcast_to(lens, (len(images), 4)).astype(jnp.float32)
    _warn_of_backs(np.asarray(poses), near)
    colours = jnp.asarray(_on_black(images.clip(0, 1), alpha), jnp.float32)
    return Views(colours, poses, lens, float(near), float(far))


def _on_black(images, alpha):
    """Colours times opacity, if there is one."""
    checks.one_of("alpha", alpha, ("premultiplied", "straight"))
    colour, opacity = images[..., :3], images[..., 3:]
    if alpha == "straight" and opacity.size:
        return colour * opacity
    if opacity.size and (excess := (colour - opacity).max()) > 1.5 / 255:  # bytes round both
        given = f"colours above their opacity by {excess:.3g}: of a file say alpha='straight'"
        raise ValueError(f"images must be premultiplied, but got {given}")
    return colour


def _lenses(lens, height, width, *shapes):
    """f, or an array of one of the shapes, as (f_x, f_y, c_x, c_y), checked."""
    lens = checks.real_array("lens", lens, (), *shapes, integers=True)
    if lens.ndim == 0:
        lens = jnp.stack([lens, lens, jnp.asarray(width / 2), jnp.asarray(height / 2)])
    least = np.inf if checks.traced(lens) else lens[..., :2].min()
    checks.must(least > 0, "lens", "have focal lengths > 0", least)
    return lens


def _warn_of_backs(poses, near):
    """Look at what each camera has before it, at the distance ``near``, by the others."""
    poses = poses[:: -(-len(poses) // 200)]  # all pairs of them
    place, ahead = poses[:, :3, 3], -poses[:, :3, 2]
    seen = place + near * ahead
    front = np.einsum("ijk,ik->ij", seen[None] - place[:, None], ahead) > 0
    away = (front.mean(1) < 0.4).mean()
    if len(poses) > 2 and away > 0.5:
        warnings.warn(
            f"{away:.0%} of the cameras look away from what the others see: do their poses look "
            f"along −z, y up (OpenGL)? Of OpenCV's, along +z, change the signs of columns 1 and 2",
            stacklevel=3,
        )


def rotations(name: str, value) -> jax.Array:
    """Rotations of space, (..., 3, 3): R Rᵀ = I and det R = 1; else a ValueError that names the
    first that is none, and why. Chapter: A molecule in motion.
    """
    array = checks.real_array(name, value, (..., 3, 3), integers=True)
    if not checks.traced(array):
        R = np.asarray(array, np.float64).reshape(-1, 3, 3)
        off = np.abs(R @ R.swapaxes(1, 2) - np.eye(3)).max((1, 2))
        wrong = (off > 1e-3) | (np.linalg.det(R) < 0)
        if wrong.any():
            i = np.argmax(wrong)
            distorted = f"R Rᵀ is off the identity by {off[i]:.3g}"
            why = distorted if off[i] > 1e-3 else "its determinant is −1, it mirrors"
            raise ValueError(f"{name}{f'[{i}]' if array.ndim > 2 else ''} is no rotation: {why}")
    return array


def check_poses(poses) -> jax.Array:
    """Camera-to-world matrices (..., 4, 4): a rotation, a position, and the row 0 0 0 1; else a
    ValueError that names the first that is none, and why. Chapter: Radiance fields.
    """
    poses = checks.real_array("poses", poses, (..., 4, 4), integers=True)
    rotations("poses", poses[..., :3, :3])
    if not checks.traced(poses):
        last = np.asarray(poses[..., 3, :]).reshape(-1, 4)
        i = np.argmax(off := np.abs(last - [0, 0, 0, 1]).max(1) > 1e-6)
        checks.must(not off[i], f"poses[{i}]", "end with the row 0 0 0 1", last[i].tolist())
    return poses


def look_at(position, target=(0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0)) -> jax.Array:
    """The pose (4, 4) of a camera at ``position`` (3,) that looks at ``target``, ``up`` upwards.

    Raises: ValueError when it looks nowhere, or straight along ``up``. Chapter: Radiance fields.
    """
    position, target, up = (
        np.asarray(checks.real_array(name, value, (3,), integers=True), np.float64)
        for name, value in (("position", position), ("target", target), ("up", up))
    )
    back = position - target
    right = np.cross(up, back)
    if np.linalg.norm(right) < 1e-6 * max(np.linalg.norm(up) * np.linalg.norm(back), 1e-300):
        raise ValueError(f"up {up.tolist()} must not be parallel to the view, {(-back).tolist()}")
    back, right = back / np.linalg.norm(back), right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, position], axis=1)
    return jnp.asarray(pose, jnp.float32)


def hemisphere(n: int, radius: float = 4.0, skip: int = 0) -> jax.Array:
    """``n`` poses (n, 4, 4) over the upper half of a sphere of a radius > 0, looking at its centre.

    Every stretch of the sequence is spread evenly (steps of the plastic number, mod 1): the first
    hundred train, the next (``skip=100``) test. Chapter: Radiance fields.
    """
    i = checks.count("skip", skip, least=0) + np.arange(checks.count("n", n)) + 1
    plastic = 1.324717957244746
    z, turns = np.mod(np.outer([1 / plastic, 1 / plastic**2], i), 1)
    z, angle = 0.02 + 0.96 * z, 2 * np.pi * turns  # neither the horizon nor the zenith
    rho = np.sqrt(1 - z**2)
    positions = np.stack([rho * np.cos(angle), rho * np.sin(angle), z], axis=1)
    return jnp.stack([look_at(checks.positive("radius", radius) * p) for p in positions])


def pixel_centres(height: int, width: int) -> jax.Array:
    """Row and column of the pixels' middles, (height, width, 2). Chapter: Radiance fields."""
    size = checks.count("height", height), checks.count("width", width)
    return jnp.stack(jnp.indices(size), axis=-1) + 0.5


def rays(
    pose, pixels, lens, size: tuple[int, int], *, unit: bool = True
) -> tuple[jax.Array, jax.Array]:
    """The rays through points of the picture: origins and directions, (..., 3) each.

    In the camera's frame d = ((column − c_x)/f_x, (c_y − row)/f_y, −1); R turns it into the world.
    With ``unit`` it has length 1, and t along a ray is the distance, else the depth along the
    camera's axis. Leading axes of ``pose`` (..., 4, 4), camera to world, and lens, f or (..., 4),
    broadcast with those of ``pixels`` (..., 2), row and column (see :func:`pixel_centres`); size is
    the picture's height and width, in pixels. Raises: ValueError for a ``pose`` that is no rotation
    or a ``lens`` ≤ 0. Chapter: Radiance fields.
    """
    pose, lens = check_poses(pose), _lenses(lens, *size, (..., 4))
    f_x, f_y, c_x, c_y = jnp.moveaxis(lens, -1, 0)
    row, column = pixels[..., 0], pixels[..., 1]
    d = jnp.stack([(column - c_x) / f_x, (c_y - row) / f_y, -jnp.ones_like(row)], -1)
    d = d / jnp.linalg.norm(d, axis=-1, keepdims=True) if unit else d
    # rounded factors would miss pixels
    d = jnp.einsum("...ij,...j->...i", pose[..., :3, :3], d, precision="highest")
    return jnp.broadcast_to(pose[..., :3, 3], d.shape), d
