"""Other designs of the figures inside the signs: older ones that still stand beside the roads, and other makers'.

The figures of today are in `pictogram_symbols`. As there, every function returns SVG elements in the 100 x 100 units
of a whole sign, drawn by ourselves.
"""

from __future__ import annotations

from training.data.pictogram_symbols import BLACK, GREEN, RED, WHITE, YELLOW, box, disc, fill, limb, moved, stroke

_EVEN_ODD = '<path fill-rule="evenodd" d="{data}" fill="{colour}"/>'


def boxy_car_end_on(colour: str) -> str:
    """Returns a car of the seventies seen from behind, about 27 x 20 units around the origin, its wheels apart."""
    roof = stroke("M-10.4 -2.2L-8 -9.2H8L10.4 -2.2", 1.6, colour)
    body = fill("M-12.4 -2.4H12.4L13.4 0.4V4.2L12 5.8H-12L-13.4 4.2V0.4Z", colour)
    return roof + body + box(-11.6, 6.8, 3.4, 3.4, colour, 0.5) + box(8.2, 6.8, 3.4, 3.4, colour, 0.5)


def round_car_end_on(colour: str) -> str:
    """Returns a car of the fifties seen from behind, about 26 x 20 units around the origin: fenders and a bumper."""
    body = (
        "M-7.4 -8.4Q0 -11 7.4 -8.4L9.6 -2.4Q12.4 -1.6 12.4 2.2V6.4H-12.4V2.2Q-12.4 -1.6 -9.6 -2.4Z"
        "M-6 -6.8Q0 -8.6 6 -6.8L7.4 -2.4H-7.4Z"
    )
    bumper = box(-13.2, 2.8, 26.4, 1.6, colour, 0.8)
    wheels = box(-10.8, 6, 3.8, 3.4, colour, 0.6) + box(7, 6, 3.8, 3.4, colour, 0.6)
    return _EVEN_ODD.format(data=body, colour=colour) + bumper + wheels


def boxy_cars(left: str, right: str) -> str:
    """Returns a car overtaking another, both boxy: the two colours from left to right."""
    return moved(boxy_car_end_on(left), 34, 50, 1.0) + moved(boxy_car_end_on(right), 66, 50, 1.0)


def cars_on_a_road(left: str, right: str) -> str:
    """Returns a car overtaking another, both round, on a line: the two colours from left to right."""
    cars = moved(round_car_end_on(left), 35.5, 50.5, 0.95) + moved(round_car_end_on(right), 64.5, 50.5, 0.95)
    return cars + box(24, 60, 52, 1.7, right)


def lorry_and_boxy_car(left: str, right: str) -> str:
    """Returns a lorry overtaking a boxy car: the two colours from left to right."""
    lorry = box(23, 34.5, 24.5, 24, left) + box(24, 60, 4.4, 6, left) + box(42, 60, 4.4, 6, left)
    return lorry + box(28, 61.6, 14, 1.8, left) + moved(boxy_car_end_on(right), 65, 56.4, 0.92)


def lorry_and_car_on_a_road(left: str, right: str) -> str:
    """Returns a small lorry overtaking a round car on a line: the two colours from left to right."""
    lorry = box(26, 35.5, 21, 20.5, left) + box(27.6, 57, 3.6, 4.6, left) + box(41.8, 57, 3.6, 4.6, left)
    return lorry + moved(round_car_end_on(right), 64.5, 54, 0.86) + box(23, 62, 54, 1.9, right)


def short_lorry() -> str:
    """Returns a lorry of two axles driving to the left, its cab above the engine."""
    cab = "M22.6 60V51.2Q22.6 50 23 49L25.4 43.4Q25.8 42.6 26.8 42.6H36.6V60ZM25.6 50.6H33.4V45.2H27.8Z"
    wheels = "".join(disc(x, 60.6, 6.5, WHITE) + disc(x, 60.6, 5.2) for x in (30, 66))
    return _EVEN_ODD.format(data=cab, colour=BLACK) + box(38.4, 36, 39, 18.6) + box(34, 55.8, 44, 4.2) + wheels


def bonneted_lorry() -> str:
    """Returns a lorry of two axles driving to the left, its engine before the cab."""
    front = "M20.6 58.4V53.6Q20.8 50.4 24.6 50L32 49.2L34.2 43.6H41V58.4ZM34.6 49.6H38.6V46H35.8Z"
    wheels = "".join(disc(x, 59, 5.8, WHITE) + disc(x, 59, 4.6) for x in (31.6, 67))
    return _EVEN_ODD.format(data=front, colour=BLACK) + box(42.8, 36.4, 35, 16.8) + box(37, 54.4, 42, 4) + wheels


def bare_arrow() -> str:
    """Returns the thick upright arrow with a level foot, crossing a thin side road."""
    return fill("M50 39L60 50.6H56.6V79.6H43.4V50.6H40Z") + box(32, 59, 36, 4.4)


def round_bend_left() -> str:
    """Returns a road that bends to the left in a wide arc."""
    return stroke("M61 80V70Q61 54.4 47 54.4H42", 9.4) + fill("M43.6 47.4V61.4L34.4 54.4Z")


def narrow_double_bend_left() -> str:
    """Returns a road that swings to the left and on upwards, in one thin line."""
    return stroke("M59 80V67.4Q59 62 54 64L48.6 66.2Q44 67.6 44 62.6V46", 7.8) + fill("M37.8 49L44 38.4L50.2 49Z")


def steep_bumps() -> str:
    """Returns two pointed humps on a road."""
    return fill(
        "M25.4 80V76.4Q33.6 76.6 36.6 69.4Q39 64.8 42.4 67.4Q46 73.4 50 74.6Q54 73.4 57.6 67.4Q61 64.8 63.4 69.4"
        "Q66.4 76.6 74.6 76.4V80Z"
    )


def skidding_boxy_car() -> str:
    """Returns a boxy car, tilted a little, above three loops of its tracks."""
    tracks = (
        "M31 76.4C35.6 72.8 43.8 71.8 41.6 74.6C39.4 77.4 29.8 77.6 33.4 79.8C35.4 81 39.8 80.6 41.4 79.8",
        "M46.2 73.2C53.8 72.6 58.4 73.2 56.6 75.6C55.4 78 66 75.6 71.4 79.8",
    )
    return moved(boxy_car_end_on(BLACK), 51, 58.6, 0.96, 9) + "".join(
        stroke(track, 1.9, cap="round") for track in tracks
    )


def skidding_round_car() -> str:
    """Returns a round car, tilted, above two wavy tracks."""
    tracks = "M35 80.6Q32 77.6 37.4 76.4T40.6 71.8M55 80.6Q51.4 77.8 57.4 76.4T61.6 71.8"
    return moved(round_car_end_on(BLACK), 50, 57.4, 1.05, 15) + stroke(tracks, 2.6, cap="round")


def narrowing_thin_road() -> str:
    """Returns a road of thin edges, the right-hand one of which steps inwards by an even slope."""
    return box(41, 43.4, 4.2, 35.6) + stroke("M55.4 43.4V54.6L60.8 62.8V79", 4.2)


def bent_worker() -> str:
    """Returns a bent worker in a belt and wide trousers, shovelling a round heap."""
    worker = (
        disc(55.6, 44.2, 3.9)
        + fill("M43.2 47.6Q48 44.6 52.8 47.6L51.6 61.2L42.4 60.4Z")
        + limb("M44.2 48.8L39.8 55.6L46.4 58.4", 2.8)
        + limb("M51.8 49.6L52.6 57.2L50.4 62", 2.7)
        + fill("M42.2 61.8L51.4 62.8L50.4 70L50 79.6H45.8L46.2 70.4L45.4 67.8L39.6 79.6H35Z")
    )
    return (
        worker
        + stroke("M43 56.4L60.6 70.8", 1.9)
        + fill("M53.4 79.6L61 71Q63 65.8 66.2 65.2Q69.6 65 71.6 69L79.6 79.6Z")
    )


def digging_worker() -> str:
    """Returns an upright worker with a hat, who drives the shovel into a pointed heap."""
    worker = (
        disc(49.6, 42.8, 4)
        + box(44.6, 39.4, 10.2, 1.8, radius=0.9)
        + fill("M44.4 47.4H53.4L52 63H43.4Z")
        + limb("M52 49L57.4 56L60.4 60.4", 3.2)
        + limb("M45.6 49.2L48.4 56.8L54.4 57.4", 3.0)
        + limb("M45.8 62.4L42.4 70.6L38.4 79.4", 4.6)
        + limb("M49.6 62.4L50.8 70.8L50.2 79.4", 4.6)
    )
    return worker + stroke("M51.4 51L66.6 71.4", 2.3) + fill("M56 80.4L68.4 66.4L79.6 80.4Z")


def plain_traffic_lights() -> str:
    """Returns the three lights without a rim."""
    lights = zip((44.2, 57.6, 71), (RED, YELLOW, GREEN), strict=True)
    return "".join(disc(50, y, 5.8, colour) for y, colour in lights)


def striding_walker() -> str:
    """Returns a slim pedestrian with a belt, striding to the left."""
    return (
        disc(49.6, 40, 3.9)
        + fill("M46.2 45.2Q50.4 44 54.2 45.6L54.8 60H46Z")
        + limb("M46.8 46.8L43 53.4L41 59.4", 2.7)
        + limb("M54 46.8L58.8 52.6L58.4 58.8", 2.7)
        + fill("M46 61.4H54.6L62 79.6H57.2L50.6 67.4L43.8 79.6H39L46.2 64.4Z")
    )


def walker_on_stripes() -> str:
    """Returns a pedestrian walking to the left on the stripes of a crossing."""
    stripes = "".join(fill(f"M{x} 80.4H{x + 6}L{x + 8.6} 75.8H{x + 3.6}Z") for x in (25, 36, 47, 58, 69))
    return moved(striding_walker(), 6, 2.6, 0.88) + stripes


def running_children() -> str:
    """Returns a small child and a bigger one, hand in hand, running to the left."""
    small = (
        disc(35.6, 57.8, 3.3)
        + fill("M33.2 61.8L38.6 61.6L39.6 71.2H32.8Z")
        + limb("M34 63L30 68L27.2 66.4", 2.4)
        + limb("M38.2 62.8L41.4 65.2L43.4 62.8", 2.4)
        + limb("M35 70.4L35.6 75L34.8 80.4", 3.0)
        + limb("M37.8 70.4L40.6 73.6L44.4 72.8", 2.6)
    )
    big = (
        disc(55.4, 49.6, 3.9)
        + fill("M52 54.6Q55.8 52.8 59.6 54.8L60.4 67.4H53Z")
        + limb("M53 55.8L48.2 60L44.6 58.2", 2.8)
        + limb("M59 55.8L64.6 58.4L68.8 63.4", 2.9)
        + limb("M55 67L55.2 73L53.4 80.4", 3.8)
        + limb("M58.8 67L63.4 71.6L70.4 75.6", 3.7)
    )
    return small + big


def small_bicycle() -> str:
    """Returns a smaller bicycle with straight handlebars, facing to the left."""
    wheels = "".join(
        f'<circle cx="{x}" cy="71" r="8" fill="none" stroke="{BLACK}" stroke-width="2"/>' for x in (35.4, 65)
    )
    frame = stroke("M35.4 71L43 57.4H58.6L65 71H50.6L43 57.4M50.6 71L59.8 54", 1.9, join="round")
    return wheels + frame + limb("M38.8 55H45M43.6 57.4L42.6 54.6", 2) + limb("M56.4 53.6H64", 2.4) + disc(50.6, 71, 2)


def stout_snowflake() -> str:
    """Returns a snow crystal whose six arms end in broad tips."""
    arm = stroke("M0 0V-16.8", 4.2) + stroke("M-5 -15.6L0 -10.6L5 -15.6", 4.6, cap="round")
    return disc(50, 62.6, 4.4) + "".join(moved(arm, 50, 62.6, 0.98, turn) for turn in range(0, 360, 60))


def slender_deer() -> str:
    """Returns a slender stag leaping to the left, its hind legs stretched."""
    body = (
        "M38.2 46.8L43.4 43.4L46.4 44.2L47.8 49.2L49.8 54.6C54.2 55.6 60 57.6 63.6 60.6C66 62.8 66.4 64.8 66 67.2"
        "L69.6 71.6L72.8 79.6L70.6 79.8L66.4 73.2L60.6 69.6C57.4 67.8 52 66.8 48.6 64.6C45.6 62.4 44.4 57 43.4 51.2"
        "L42.6 48L39 48.8Z"
    )
    front = limb("M48.6 62.8L41.6 60.8L37.2 63.2", 2) + limb("M49.4 64.2L43.4 64.8L39.4 67.2", 2)
    antlers = limb("M44.8 44.2C43.6 41.2 44.4 38.8 43 36.4M45.8 44.2C46.6 40.8 48.8 39.8 49 37", 1.4)
    return fill(body) + front + antlers


def solid_arrow_ahead() -> str:
    """Returns the white arrow with a solid head pointing up."""
    return fill("M50 9L67.6 36.4H56.4L57.4 90H42.6L43.6 36.4H32.4Z", WHITE)


def solid_arrow_right() -> str:
    """Returns the thick white arrow with a solid head, coming from below and turning right."""
    return stroke("M25 80V68Q25 41.4 51 41.4H62", 13, WHITE) + fill("M58.6 24L90.4 41.4L58.6 58.8Z", WHITE)


def slim_arrow_right() -> str:
    """Returns the white arrow turning right in a narrow arc, its head small."""
    return stroke("M41 82V58Q41 41 58 41H76", 8.4, WHITE) + stroke("M62.6 26.6L77.6 41L62.6 55.4", 8.4, WHITE)


def solid_arrow_ahead_or_right() -> str:
    """Returns the white arrow with two solid heads that forks straight ahead and to the right."""
    stems = stroke("M41 90V30", 9.6, WHITE) + stroke("M41 86V76Q41 61 56 61H72", 9.6, WHITE)
    return stems + fill("M41 11L54 34H28ZM66 47.6L89 61L66 74.4Z", WHITE)


def curved_arrow_ahead_or_right() -> str:
    """Returns the white arrow with small open heads whose right-hand branch leaves the stem in an arc."""
    heads = stroke("M30 31L41 16.6L52 31", 7.6, WHITE) + stroke("M70.6 43.4L83.6 55.4L70.6 67.4", 7.6, WHITE)
    return stroke("M41 90V17", 8.4, WHITE) + stroke("M41 84Q41 55.4 64 55.4H82", 7.8, WHITE) + heads


def solid_arrow_down_right() -> str:
    """Returns the white arrow with a solid head pointing down and to the right."""
    return stroke("M25 25L60 60", 12, WHITE) + fill("M77 77L42.6 67.6L67.6 42.6Z", WHITE)


def stout_arrow_down_right() -> str:
    """Returns the thick white arrow with an open head pointing down and to the right."""
    return stroke("M26 26L69 69", 12, WHITE) + fill("M77 77H38L46.4 65H65V46.4L77 38Z", WHITE)


def _chasing(arrow: str, first: int) -> str:
    return "".join(moved(arrow, 50, 50, 1.0, first + turn) for turn in (0, 120, 240))


def stout_roundabout_arrows(first: int) -> str:
    """Returns three thick arrows with open heads chasing each other anticlockwise, from ``first`` degrees on."""
    arc = stroke("M26.6 15.4A30.8 30.8 0 0 0 10 -29.2", 7.8, WHITE)
    return _chasing(arc + stroke("M18.6 -37.4L6.4 -30.4L13.6 -18.6", 6.4, WHITE), first)


def solid_roundabout_arrows(first: int) -> str:
    """Returns three arrows with solid heads chasing each other anticlockwise, from ``first`` degrees on."""
    arc = stroke("M27.4 13.4A30.6 30.6 0 0 0 12.6 -28", 7.2, WHITE)
    return _chasing(arc + fill("M1.6 -32.4L19.2 -36.6L12.6 -18.4Z", WHITE), first)
