"""x."""


def mount(): ...
