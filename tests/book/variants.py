"""Answers to the exercises that readers give: right ones that differ from the solution, and tempting wrong ones.

label -> {"right": [code, …], "wrong": [(code, a word of the message), …]}; each code defines the function asked for.
"""

VARIANTS = {
    "ex-blur-task": {
        "right": [
            "def regression(image, gamma):\n"
            "    h, w, c = image.shape\n"
            "    i, j = jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing='ij')\n"
            "    centres = jnp.stack([(i + 0.5) / h, (j + 0.5) / w], -1)\n"
            "    y = image.reshape(h * w, c)\n"
            "    return gamma(centres.reshape(-1, 2)), y, lambda p: 0.5 * ((p - y) ** 2).mean()"
        ],
        "wrong": [
            (
                "def regression(image, gamma):\n"
                "    v = data.grid(image.shape[:2])[..., ::-1]\n"
                "    y = image.reshape(-1, 3)\n"
                "    return gamma(v).reshape(24, -1), y, lambda p: 0.5 * ((p - y) ** 2).mean()",
                "row 7 of the inputs",
            ),
            (
                "def regression(image, gamma):\n"
                "    y = image.reshape(-1, 3)\n"
                "    v = data.grid(image.shape[:2])\n"
                "    return gamma(v).reshape(24, -1), y, lambda p: ((p - y) ** 2).mean()",
                "½",
            ),
        ],
    },
    "ex-waiting-time": {
        "right": [
            "def steps_until(eigenvalue, share, learning_rate):\n"
            "    return np.log(share) / np.log(1 - learning_rate * eigenvalue)"
        ],
        "wrong": [
            (
                "def steps_until(eigenvalue, share, learning_rate):\n"
                "    return np.log10(1 / share) / (learning_rate * eigenvalue)",
                "is left",
            ),
            (
                "def steps_until(eigenvalue, share, learning_rate):\n"
                "    return np.log(1 - share) / (-learning_rate * eigenvalue)",
                "is left",
            ),
        ],
    },
}
