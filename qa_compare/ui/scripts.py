"""What runs in the browser beside a `gr.HTML`: given to it as `js_on_load`."""

# a click anywhere in something that can be picked; a button in it brings the keyboard
PICK = """
element.addEventListener('click', event => {
    const picked = event.target.closest('[data-pick]');
    if (picked && !picked.disabled) trigger('click', {pick: picked.dataset.pick});
});
"""
# passages scroll, each within its box, to the answer
REVEAL = """
watch('value', () => {
    element.querySelectorAll('.passage').forEach(box => {
        const mark = box.querySelector('mark.predicted') || box.querySelector('mark.gold');
        if (mark) box.scrollTop = mark.offsetTop - (box.clientHeight - mark.offsetHeight) / 2;
    });
    if (element.querySelector('.chosen')) element.scrollIntoView({block: 'nearest'});
});
"""
# read out when it changes
SPEAK = "element.setAttribute('role', 'status');"
