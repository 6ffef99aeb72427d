"""The 43 classes that GTSDB and GTSRB share, in the order of their class ids.

Names follow the benchmark's own ReadMe; categories are those that the GTSDB competition scored
(Houben et al., IJCNN 2013, doi 10.1109/IJCNN.2013.6706807).
"""

CLASS_NAMES: tuple[str, ...] = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no overtaking",
    "no overtaking by lorries",
    "priority at next crossing",
    "priority road",
    "give way",
    "stop",
    "no vehicles",
    "no lorries",
    "no entry",
    "danger",
    "bend left",
    "bend right",
    "double bend",
    "uneven road",
    "slippery road",
    "road narrows",
    "road works",
    "traffic signals",
    "pedestrians",
    "children",
    "cyclists",
    "snow",
    "wild animals",
    "end of all limits",
    "turn right ahead",
    "turn left ahead",
    "straight only",
    "straight or right",
    "straight or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no overtaking",
    "end of no overtaking by lorries",
)

NUM_CLASSES = len(CLASS_NAMES)

CATEGORIES: dict[str, frozenset[int]] = {
    "prohibitory": frozenset({*range(6), *range(7, 11), 15, 16}),
    "mandatory": frozenset(range(33, 41)),
    "danger": frozenset({11, *range(18, 32)}),
    "other": frozenset({6, 12, 13, 14, 17, 32, 41, 42}),
}
