from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='preset',
            name='photo_titles',
            field=models.JSONField(blank=True, default=list, verbose_name='what the photos show'),
        ),
    ]
