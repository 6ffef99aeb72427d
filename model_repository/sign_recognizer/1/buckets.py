"""Names of the recognizer's metrics and edges of its histograms, for the recognizer and for the drift exporter."""

PREFIX = "sign_recognizer_"
# The edges are centred on GTSDB, where 90% of the scenes have a brightness of 101 to 156, a sharpness of 170 to 2160
# and signs of 16 to 128 pixels. A change of light, camera or distance moves counts between buckets.
BUCKETS = {
    # Finer near 0 and 1, where the scores of a good network lie.
    "detection_score": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98),
    "class_score": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999),
    "scene_brightness": (16, 32, 48, 64, 80, 96, 104, 112, 120, 128, 136, 144, 152, 160, 176, 192, 208, 224, 240),
    "scene_sharpness": (10, 20, 40, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 1920, 2560, 3840),
    "sign_size_pixels": (8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256),
}
