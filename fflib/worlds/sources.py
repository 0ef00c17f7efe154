"""Where the paper's data are: public addresses, checksums and lengths. One entry a file."""

from __future__ import annotations

from typing import NamedTuple


class Source(NamedTuple):
    """Where a file comes from.

    Attributes:
        url: its public address; "" where it has none and must be in FFLIB_DATA.
        sha256: its checksum; every file has one, whatever a server answers.
        size: its length in bytes.

    Chapter: Photographs and text.
    """

    url: str
    sha256: str
    size: int


_KODAK = {
    "01": ("a56e27cbf5f843c048b6af1d6e090760e9c92fadba88b7dee0205918a37523bd", 736501),
    "02": ("4f4b74a79237e311d72cad958237b5f7088d8bce1c82305ebefe1a70e3022dfd", 617995),
    "03": ("e25ca1ff2f0c0cb5fdfd5f9b0a0bb21ac4c3de3c84a67f35b09a85d3306249db", 502888),
    "04": ("e3b946107c5d3441c022f678d0c3caf1e224d81b1604ba840a4f88e562de61aa", 637432),
    "05": ("10349e963c5c813d327852f82c1795fa4148d69fedffc4c589bee458e3ac3d53", 785610),
    "06": ("363510303b715d4cbc384e1ce227e466b613a09e1b71ae985882bf8e7fbd9b18", 618959),
    "07": ("b77d3f006f42414bb242222e0482e750c0fb9e5ee8d4bed2f6f11c5605fe54a4", 566322),
    "08": ("ba23983c76b4832ee0e8af0592664756841a16779acd69f792e268fb6d13d6e7", 788470),
    "09": ("6a4361c2fc194feb4edaa9f9a4a0620fb9943e460ac7fdf037fb0f6dd6607a7d", 582899),
    "10": ("9dfb70f5867c29ff9ed6313683f19b3d867849e40fbc0c4c54a4a89df341cf23", 593463),
    "11": ("7936814b58b5387fce2e4e2488b4ec830dadd95fa9520f358ddb30990b50f2b6", 621023),
    "12": ("d78c37c2f04f23761ed2367dd77e2db584ddd4c3950833fecf89f199a8126980", 531024),
    "13": ("bc34a3ce58dea09dce1704c997171602de90cb34d0c8503a988b77f473d39b08", 822712),
    "14": ("55a94550ff18f3246c4074fd32b77b0c74447c26b6ad274d564d999c0450ba6e", 692201),
    "15": ("7538cbb80cb9103606c48b806eae57d56c885c7f90b9b3be70a41160f9cbb683", 612582),
    "16": ("a89c7268ccd4718ba424a99fc4643c572cf692ca6eae887185ceb4e9f11d2e54", 534247),
}

_LEGO = {
    100: ("4f28ea38074137aa534810b96e62c6d63f34ce9733d61782a8d6d8c1012bbd4a", 1357034),
    200: ("ce7f8fefd52a4e08d82f5409ef1eb1e940e39be31f0bdb938268e3592b093cab", 4809419),
    400: ("74e0835a137ae08c30b8112926e18a51bc9800ca8863549f19ce6f08b4cddac8", 17412478),
}

_SCANS = {  # watertight reductions of the Stanford scans, without an address of their own
    "dragon": ("cab43170b1a682b21817805bd02ee96e4e958efc68d1716f0d82b4c7a255e3fb", 3432987),
    "armadillo": ("17200138dad1ad0f86ef9a98dd38f9932098b2c9e94d8694bd3f6143601e8c54", 961652),
    "buddha": ("b8a3aa6ffc36151a9c30dea3a68b086c0fbfdafcb6dd728d29b4718a7b90ed00", 667566),
    "lucy": ("f906abd50e4fdfa81edf0f26f4613a9170713133f345d889a0edf1e258f11946", 3763310),
}

SOURCES = {
    "DIV2K_valid_HR.zip": Source(
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_valid_HR.zip",
        "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
        448993893,
    ),
    **{
        f"kodim{k}.png": Source(f"https://r0k.us/graphics/kodak/kodak/kodim{k}.png", *known)
        for k, known in _KODAK.items()
    },
    **{f"lego_{size}_rgba_premult.npz": Source("", *known) for size, known in _LEGO.items()},
    "nerf_synthetic.zip": Source(  # of the authors; checksum as google-research/sunds has it
        "https://drive.usercontent.google.com/download?id=18JxhpWD-4ZmuFKLzKlAw-w5PpzZxXOcG"
        "&export=download&confirm=t",
        "f01fd1b4ab045b0d453917346f26f898657bb5bec4834b95fdad1f361826e45e",
        1679356967,
    ),
    "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz": Source(
        "https://raw.githubusercontent.com/nilearn/nilearn/a0115edefd75f5c9c31802ea0336c2e015cc784e/"
        "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
        "421a10e872fd6cadae7f61d358dffbcc1795a497d61ee76c5dda2503e1a1e9e6",
        1617531,
    ),
    **{f"{name}.obj": Source("", *known) for name, known in _SCANS.items()},
    "clean70SRibosome_vol_65p.mrc": Source(
        "https://raw.githubusercontent.com/ComputationalCryoEM/ASPIRE-Python/"
        "24e057f3997f4b2acf7b36a91bedc339f1e16a7a/src/aspire/data/clean70SRibosome_vol_65p.mrc",
        "f9de03dd206be3bace4b1aa44feb72c052949f73d419d73bc99ff6b5c8f3256b",
        1099524,
    ),
}
