"""What runs in the browser beside a `gr.HTML`: given to it as `js_on_load`."""

# a click anywhere in something that can be picked; a button in it brings the keyboard, and, when it is made anew, keeps
# the focus: it is known by what it picks or, like a pager's, by its words
PICK = """
let place = '', words = '';
element.addEventListener('click', event => {
    const one = event.target.closest('[data-pick]');
    if (!one || one.disabled) return;
    place = `[data-pick="${CSS.escape(one.dataset.pick)}"]`;
    words = event.target.closest('button')?.textContent;
    trigger(one.dataset.event || 'click', {pick: one.dataset.pick});
});
watch('value', () => {
    if (!words || document.activeElement !== document.body) return;
    const again = element.querySelector(`button${place}:enabled, ${place} button`)
        || [...element.querySelectorAll('button:enabled')].find(one => one.textContent === words);
    if (again) again.focus({preventScroll: true});
});
"""
# once new cards stand in the page, each passage scrolls, within its own box, to the answer
REVEAL = """
const reveal = () => {
    element.querySelectorAll('.passage').forEach(box => {
        const mark = box.querySelector('mark.predicted') || box.querySelector('mark.gold');
        if (mark) box.scrollTop = mark.offsetTop - (box.clientHeight - mark.offsetHeight) / 2;
    });
    if (element.querySelector('.chosen')) element.scrollIntoView({block: 'nearest'});
};
watch('value', reveal);
reveal();
"""
# read out when it changes
SPEAK = "element.setAttribute('role', 'status');"
# an `input` event for whatever is typed, pasted or dictated into the passage or the question: Gradio's own comes with
# some keys, and never without a keyboard
TYPED = """
document.addEventListener('input', event => {
    if (event.target.closest('#passage, #question')) trigger('input');
});
"""
