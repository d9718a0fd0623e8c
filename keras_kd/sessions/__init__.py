"""From a model to a usability test: faces in photos and recordings. All data stay on this machine.

    photos      faces, labels and boxes in pictures
    analysis    a video or a camera into a csv with one row for each face and frame, a timeline of
                labels, tasks and moments worth a look, and report.html
    comparison  several participants, two designs
    web         a page that runs the model in the browser

This needs the extra `sessions`; nothing here opens a connection.
"""

# Side of FER2013's pictures in face boxes, see _faces.
SIDE = 1.17
CONFIDENCE = 0.5
SCORE = 0.5
# Share of the time that must be readable for a task's rates, and for a participant to count in a
# comparison.
LEAST_READABLE = 0.5
DETECTORS = ("auto", "short", "full", "cascade")
