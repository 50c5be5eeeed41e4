def level() -> str:
    """Name of the SIMD level in use: scalar, avx2, avx512 or neon."""

def available() -> tuple[str, ...]:
    """Names of the levels that this machine and this build have."""

def openmp() -> bool:
    """Whether this build shares work among threads."""
