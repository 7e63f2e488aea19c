"""What replicas have in their files: below the high watermark all have to hold the same bytes."""
import hashlib
import os
import shutil
import struct


def directory_of(machine, topic, partition):
    return os.path.join(machine.disk.data, "topics", topic.uuid, str(partition))


def committed_bytes(directory, end):
    """The batches below `end` as they lie in a replica's segments, one after the other."""
    for name in sorted(name for name in os.listdir(directory) if name.endswith(".log")):
        with open(os.path.join(directory, name), "rb") as file:
            content = file.read()
        place = 0
        while place + 12 <= len(content):
            offset, size = struct.unpack_from(">qi", content, place)
            if offset >= end:
                return
            if size <= 0:
                break  # nothing more in this file
            yield content[place:place + 12 + size]
            place += 12 + size


def digest_of(directory, end):
    digest, size = hashlib.sha256(), 0
    try:
        for batch in committed_bytes(directory, end):
            digest.update(batch)
            size += len(batch)
    except OSError:
        return None  # it has no such replica, or just loses it
    return (size, digest.hexdigest()[:16]) if size > 0 else None


def differing(machines, topic):
    """Of the first partition whose replicas are not equal byte for byte below its end: what each has. None: all are. While brokers run, what lies in
    their memory is not in files yet: to be asked again."""
    for partition, end in enumerate(topic.ends):
        held = {machine.name: digest_of(directory_of(machine, topic, partition), end) for machine in machines}
        held = {name: digest for name, digest in held.items() if digest is not None}
        if len(set(held.values())) > 1 or (end > 0 and len(held) != topic.replicas):
            return f"replicas differ: {topic.name}/{partition} below {end}: {held}"
    return None


def keep(machines, topic, partition, folder):
    """Copies of the replicas, for whoever studies it."""
    for machine in machines:
        directory = directory_of(machine, topic, partition)
        if os.path.isdir(directory):
            shutil.copytree(directory, os.path.join(folder, f"{topic.name}-{partition}-{machine.name}"))
