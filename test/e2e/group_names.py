"""Names of groups that share a partition."""


def partition_of(group):
    """As group_partition_of() of replication/groups: it can never change."""
    mask, number = (1 << 64) - 1, 0xCBF29CE484222325
    for byte in group.encode():
        number = (number ^ byte) * 0x100000001B3 & mask
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & mask
    number = (number ^ number >> 27) * 0x94D049BB133111EB & mask
    return (number ^ number >> 31) % 64


def names_in(partition):
    number = 0
    while True:
        if partition_of(f"group-{number}") == partition:
            yield f"group-{number}"
        number += 1


def names_beside(group):
    return names_in(partition_of(group))
