"""`python -m keras_kd`, the same as `kerakd`."""

from keras_kd.cli.start import main

if __name__ == "__main__":
    main()
